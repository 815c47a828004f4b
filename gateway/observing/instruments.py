"""Counters, histograms and gauges, and how they are written down for Prometheus.

Owns: the registry of this process, and what keeps it bounded and free of personal data: a label is a short plain word
that does not look like an identity number, and an instrument has 2,000 series at most; whatever is beyond counts as
"other". Refuses: knowing what is counted (`metrics`).

Counting is a dictionary and an addition, a dozen of them for each question; the library's own counters, which take
some ten times as long, are made of it when somebody looks.
"""

from __future__ import annotations

import re
import threading
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping
from itertools import accumulate
from typing import Final, Generic, TypeVar

import prometheus_client as prometheus
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from gateway.log import mask

MAX_SERIES: Final = 2_000
OTHER: Final = "other"
SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""Upper bounds of the buckets of every histogram of times."""

_LABEL = re.compile(r"[A-Za-z0-9_.:/-]{1,64}")
Labels = tuple[str, ...]
Read = Callable[[], Mapping[Labels, float]]
C = TypeVar("C")

_BOUNDS: Final = [*map(floatToGoString, SECONDS), "+Inf"]
REGISTRY: Final = prometheus.CollectorRegistry(auto_describe=False)
INSTRUMENTS: Final[dict[str, Instrument]] = {}
"""Every instrument made, by the name that Prometheus sees."""


def permitted(label: str) -> str:
    """A label's value, or "other" in place of what none may be."""
    return label if _LABEL.fullmatch(label) and mask(label) == label else OTHER


class Instrument:
    """What all have in common: name, meaning, unit in the name, names of the labels."""

    def __init__(self, name: str, meaning: str, *labels: str) -> None:
        self.name = name
        self.meaning = meaning
        self.labels = labels
        if name in INSTRUMENTS:
            raise ValueError(f"{name} is there already")
        INSTRUMENTS[name] = self


class _Series(Generic[C]):
    """The series of an instrument, made as they are first seen, bounded in number."""

    def __init__(self, labels: Labels, make: Callable[[], C]) -> None:
        self._names = labels
        self._make = make
        self._lock = threading.Lock()
        self.shown: dict[Labels, C] = {}
        """By labels as they are shown."""
        self.held: dict[Labels, C] = {}
        """By labels as they are given, where that is the same."""

    def of(self, values: Labels) -> C:
        """The series of labels that are not in `held`."""
        clean = tuple(map(permitted, values))
        with self._lock:
            if clean not in self.shown and len(self.shown) >= MAX_SERIES:
                clean = (OTHER,) * len(self._names)
            series = self.shown.get(clean)
            if series is None:
                series = self.shown[clean] = self._make()
            if clean == values:
                self.held[values] = series
            return series

    def all(self) -> list[tuple[Labels, C]]:
        """Every series that there is now."""
        with self._lock:
            return list(self.shown.items())


class Counter(Instrument, Collector):
    """Only grows; its name ends in "_total"."""

    def __init__(self, name: str, meaning: str, *labels: str) -> None:
        super().__init__(name, meaning, *labels)
        self._lock = threading.Lock()
        self._series: _Series[list[float]] = _Series(labels, lambda: [0.0])
        self._held = self._series.held
        if not labels:
            self.add(by=0)
        REGISTRY.register(self)

    def add(self, *labels: str, by: float = 1) -> None:
        """Count; any thread."""
        series = self._held.get(labels) or self._series.of(labels)
        with self._lock:
            series[0] += by

    def collect(self) -> Iterator[CounterMetricFamily]:
        """For the registry."""
        family = CounterMetricFamily(self.name, self.meaning, labels=self.labels)
        for labels, series in self._series.all():
            family.add_metric(labels, series[0])
        yield family


class _Times:
    """How many times fell into each bucket, and their sum."""

    __slots__ = ("counts", "total")

    def __init__(self) -> None:
        self.counts = [0] * len(_BOUNDS)
        self.total = 0.0


class Histogram(Instrument, Collector):
    """How long things took, in seconds; its name ends in "_seconds"."""

    def __init__(self, name: str, meaning: str, *labels: str) -> None:
        super().__init__(name, meaning, *labels)
        self._lock = threading.Lock()
        self._series: _Series[_Times] = _Series(labels, _Times)
        self._held = self._series.held
        if not labels:
            self._series.of(())
        REGISTRY.register(self)

    def observe(self, seconds: float, *labels: str) -> None:
        """Take in one; any thread."""
        series = self._held.get(labels) or self._series.of(labels)
        place = bisect_left(SECONDS, seconds)
        with self._lock:
            series.counts[place] += 1
            series.total += seconds

    def collect(self) -> Iterator[HistogramMetricFamily]:
        """For the registry."""
        family = HistogramMetricFamily(self.name, self.meaning, labels=self.labels)
        for labels, series in self._series.all():
            with self._lock:
                counts, total = list(accumulate(series.counts)), series.total
            family.add_metric(labels, list(zip(_BOUNDS, counts, strict=True)), total)
        yield family


class Gauge(Instrument, Collector):
    """A state: set by whoever changes it, or read from whoever knows it when somebody looks."""

    def __init__(self, name: str, meaning: str, *labels: str) -> None:
        super().__init__(name, meaning, *labels)
        self._set: dict[Labels, float] = {}
        self._reads: list[Read] = []
        REGISTRY.register(self)

    def set(self, value: float, *labels: str) -> None:
        """It is this from now on; any thread."""
        if labels in self._set or len(self._set) < MAX_SERIES:
            self._set[labels] = value

    def drop(self, *labels: str) -> None:
        """It is nothing any more."""
        self._set.pop(labels, None)

    def follow(self, read: Read) -> Callable[[], None]:
        """Have it read when somebody looks, in the event loop: labels → value. Quick, and without I/O.

        Returns:
            Ends that.
        """
        self._reads.append(read)
        return lambda: self._reads.remove(read)

    def values(self) -> dict[Labels, float]:
        """What there is to see now; a read that fails leaves out what it would have told."""
        values = dict(self._set)
        for read in list(self._reads):
            try:
                told = read()
            except Exception:  # noqa: BLE001, S112  one who cannot tell must not hide what the others say
                continue
            for labels, value in told.items():
                if labels in values or len(values) < MAX_SERIES:
                    values[labels] = value
        return values

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """For the registry."""
        family = GaugeMetricFamily(self.name, self.meaning, labels=self.labels)
        for labels, value in self.values().items():
            family.add_metric([permitted(label) for label in labels], value)
        yield family


def exposition(accept: str = "") -> tuple[bytes, str]:
    """Every figure as text, and its content type: that of OpenMetrics where `accept` (HTTP) asks for it."""
    write, content_type = prometheus.exposition.choose_encoder(accept)
    return write(REGISTRY), content_type


def value_of(sample: str, **labels: str) -> float:
    """One sample of the registry, e.g. "wugan_partner_calls_total"; 0 where there is none yet."""
    return REGISTRY.get_sample_value(sample, labels) or 0.0


prometheus.ProcessCollector(registry=REGISTRY)
