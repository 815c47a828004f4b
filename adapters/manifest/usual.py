"""Which evidence each department usually has (the catalogue of data), to warn of a manifest that names another's.

A warning only: provinces differ in which department keeps what.
"""

from __future__ import annotations

from wugan.adapter.v1 import vocabulary_pb2 as words

USUAL_KINDS: dict[int, frozenset[int]] = {
    words.DEPARTMENT_PUBLIC_SECURITY: frozenset(
        {
            words.EVIDENCE_KIND_CHECKPOINT_FACE,
            words.EVIDENCE_KIND_CHECKPOINT_VEHICLE,
            words.EVIDENCE_KIND_HOTEL_STAY,
            words.EVIDENCE_KIND_IDENTITY_CARD_ISSUED,
            words.EVIDENCE_KIND_BORDER_CROSSING,
            words.EVIDENCE_KIND_HOUSEHOLD_CANCELLED_DEATH,
            words.EVIDENCE_KIND_REPORTED_MISSING,
            words.EVIDENCE_KIND_FOUND,
            words.EVIDENCE_KIND_DECLARED_MISSING,
            words.EVIDENCE_KIND_DECLARED_DEAD,
            words.EVIDENCE_KIND_DEATH_REPORT,
            words.EVIDENCE_KIND_DETAINED,
            words.EVIDENCE_KIND_EMIGRATED,
            words.EVIDENCE_KIND_HOUSEHOLD_MOVED,
            words.EVIDENCE_KIND_RESIDENCE_MOVED,
        }
    ),
    words.DEPARTMENT_CIVIL_AFFAIRS: frozenset(
        {
            words.EVIDENCE_KIND_OLD_AGE_SUBSIDY,
            words.EVIDENCE_KIND_CREMATION,
            words.EVIDENCE_KIND_BURIAL,
            words.EVIDENCE_KIND_DEATH_REPORT,
            words.EVIDENCE_KIND_MARRIAGE,
            words.EVIDENCE_KIND_DIVORCE,
            words.EVIDENCE_KIND_ADOPTION,
        }
    ),
    words.DEPARTMENT_COURTS: frozenset(
        {
            words.EVIDENCE_KIND_SENTENCE,
            words.EVIDENCE_KIND_COMMUTATION,
            words.EVIDENCE_KIND_PAROLE,
            words.EVIDENCE_KIND_DECLARED_DEAD,
            words.EVIDENCE_KIND_DEATH_DECLARATION_REVOKED,
            words.EVIDENCE_KIND_DECLARED_MISSING,
            words.EVIDENCE_KIND_MISSING_DECLARATION_REVOKED,
        }
    ),
    words.DEPARTMENT_JUSTICE: frozenset(
        {
            words.EVIDENCE_KIND_CORRECTION_CHECK_IN,
            words.EVIDENCE_KIND_IMPRISONED,
            words.EVIDENCE_KIND_COMMUTATION,
            words.EVIDENCE_KIND_PAROLE,
            words.EVIDENCE_KIND_RELEASE,
            words.EVIDENCE_KIND_MEDICAL_RELEASE,
            words.EVIDENCE_KIND_RETURNED_TO_PRISON,
        }
    ),
    words.DEPARTMENT_HEALTH_INSURANCE: frozenset(
        {
            words.EVIDENCE_KIND_OUTPATIENT,
            words.EVIDENCE_KIND_INPATIENT,
            words.EVIDENCE_KIND_PHARMACY,
            words.EVIDENCE_KIND_REMOTE_SETTLEMENT,
            words.EVIDENCE_KIND_DEATH_SETTLEMENT,
        }
    ),
    words.DEPARTMENT_HEALTH: frozenset(
        {
            words.EVIDENCE_KIND_MEDICAL_REGISTRATION,
            words.EVIDENCE_KIND_HOSPITAL_STAY,
            words.EVIDENCE_KIND_VACCINATION,
            words.EVIDENCE_KIND_HEALTH_CHECK,
            words.EVIDENCE_KIND_HEALTH_CODE_TEST,
            words.EVIDENCE_KIND_DEATH_CERTIFICATE,
        }
    ),
    words.DEPARTMENT_TRANSPORT: frozenset(
        {
            words.EVIDENCE_KIND_RAIL_TRAVEL,
            words.EVIDENCE_KIND_AIR_TRAVEL,
            words.EVIDENCE_KIND_BUS_TRAVEL,
            words.EVIDENCE_KIND_CITIZEN_CARD,
        }
    ),
    words.DEPARTMENT_BANKS: frozenset(
        {
            words.EVIDENCE_KIND_TELLER_WITHDRAWAL,
            words.EVIDENCE_KIND_SELF_SERVICE_WITHDRAWAL,
            words.EVIDENCE_KIND_BALANCE_MOVEMENT,
            words.EVIDENCE_KIND_ACCOUNT_FROZEN,
            words.EVIDENCE_KIND_ACCOUNT_CLOSED,
        }
    ),
    words.DEPARTMENT_FACE_AUTHENTICATION: frozenset(
        {
            words.EVIDENCE_KIND_FACE_CHECK,
            words.EVIDENCE_KIND_HOME_VISIT,
            words.EVIDENCE_KIND_VISIT_FOUND_DEAD,
            words.EVIDENCE_KIND_DEATH_REPORT,
        }
    ),
    words.DEPARTMENT_SOCIAL_INSURANCE: frozenset(
        {
            words.EVIDENCE_KIND_OWN_CERTIFICATION,
            words.EVIDENCE_KIND_RE_EMPLOYMENT,
            words.EVIDENCE_KIND_DUPLICATE_BENEFIT,
            words.EVIDENCE_KIND_DEATH_REPORT,
        }
    ),
}
