"""What was paid too much, in fen (分), whole numbers throughout.

Owns: which months count, and what the personal account offsets. Refuses: rates, interest, and deciding to recover.

The effective month is the first month without entitlement (certification.py), so it is itself overpaid: months from it
to the last month paid, both included, times the monthly amount, less what the personal account offsets. An account
offsets at most what was overpaid.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from gateway.errors import RefusedError
from gateway.rules.columns import Int32, same_length

Fen = NDArray[np.int64]

MAX_FEN: Final = 10**12
"""Ten thousand million yuan: more in one cell is a mistake."""


@dataclass(frozen=True, slots=True)
class Overpayments:
    """One row for each subject; amounts in fen.

    Args:
        months: months paid without entitlement.
        gross: what was paid in them.
        offset: what the personal account covers of it.
        net: what is left to recover.
    """

    months: Int32
    gross: Fen
    offset: Fen
    net: Fen


def overpaid(effective_on: Int32, last_paid_on: Int32, monthly_fen: Fen, account_fen: Fen) -> Overpayments:
    """Overpayments where the same amount was paid every month.

    Args:
        effective_on: a day in the first month without entitlement, 0: still entitled.
        last_paid_on: a day in the last month that was paid for, 0: nothing was paid.
        monthly_fen: amount of a month.
        account_fen: balance of the personal account.

    Raises:
        RefusedError: columns of different lengths, or an amount that is negative or beyond MAX_FEN.
    """
    same_length(len(effective_on), last_paid_on=last_paid_on, monthly_fen=monthly_fen, account_fen=account_fen)
    _check_amounts("monthly_fen", monthly_fen)
    first = effective_on.astype("M8[D]").astype("M8[M]").astype(np.int64)
    last = last_paid_on.astype("M8[D]").astype("M8[M]").astype(np.int64)
    counted = (effective_on != 0) & (last_paid_on != 0)
    months = np.where(counted, np.maximum(last - first + 1, 0), 0)
    return _settle(months, months * monthly_fen.astype(np.int64), account_fen)


def overpaid_by_month(
    effective_on: Int32, payment_subject: Int32, payment_on: Int32, payment_fen: Fen, account_fen: Fen
) -> Overpayments:
    """Overpayments from the payments themselves, where amounts changed.

    Args:
        effective_on: as in `overpaid`, one for each subject.
        payment_subject: whom each payment was to.
        payment_on: a day in the month it was for.
        payment_fen: its amount. Several payments for one month count as one month.
        account_fen: balance of the personal account, one for each subject.

    Raises:
        RefusedError: columns of different lengths, a subject out of range, or a wrong amount.
    """
    count = len(effective_on)
    same_length(count, account_fen=account_fen)
    same_length(len(payment_subject), payment_on=payment_on, payment_fen=payment_fen)
    _check_amounts("payment_fen", payment_fen)
    if len(payment_subject) and int(payment_subject.view(np.uint32).max()) >= count:
        raise RefusedError("a payment to nobody of the batch", "付款记录不属于本批人员", field="payment_subject")
    month = payment_on.astype("M8[D]").astype("M8[M]").astype(np.int64)
    first = effective_on.astype("M8[D]").astype("M8[M]").astype(np.int64)[payment_subject]
    counts = (effective_on[payment_subject] != 0) & (payment_on != 0) & (month >= first)
    subject = payment_subject[counts].astype(np.int64)
    gross = np.zeros(count, np.int64)
    np.add.at(gross, subject, payment_fen[counts].astype(np.int64))
    once = np.unique(np.stack((subject, month[counts])), axis=1)
    return _settle(np.bincount(once[0], minlength=count), gross, account_fen)


def withheld(stopped_from_on: Int32, resumes_on: Int32, monthly_fen: Fen) -> Overpayments:
    """What was withheld from people whose benefit is restored, to be paid back; nothing offsets it.

    Args:
        stopped_from_on: a day in the first month that was not paid, or from which there is entitlement again where that
            is later; 0: nothing was withheld.
        resumes_on: a day in the first month that is paid as usual again; 0: nothing was withheld.
        monthly_fen: amount of a month.

    Raises:
        RefusedError: columns of different lengths, or an amount that is negative or beyond MAX_FEN.
    """
    same_length(len(stopped_from_on), resumes_on=resumes_on, monthly_fen=monthly_fen)
    _check_amounts("monthly_fen", monthly_fen)
    first = stopped_from_on.astype("M8[D]").astype("M8[M]").astype(np.int64)
    resumed = resumes_on.astype("M8[D]").astype("M8[M]").astype(np.int64)
    counted = (stopped_from_on != 0) & (resumes_on != 0)
    months = np.where(counted, np.maximum(resumed - first, 0), 0)
    return _settle(months, months * monthly_fen.astype(np.int64), np.zeros(len(months), np.int64))


def _settle(months: NDArray[np.integer], gross: Fen, account_fen: Fen) -> Overpayments:
    _check_amounts("account_fen", account_fen)
    offset = np.minimum(gross, account_fen.astype(np.int64))
    return Overpayments(months.astype(np.int32), gross, offset, gross - offset)


def _check_amounts(name: str, amounts: Fen) -> None:
    if len(amounts) and not (int(amounts.min()) >= 0 and int(amounts.max()) <= MAX_FEN):
        raise RefusedError(
            f"{name}: amounts are fen, from 0 to {MAX_FEN}", f"{name}：金额以分计，应为 0 至 {MAX_FEN}", field=name
        )
