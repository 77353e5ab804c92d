"""Make the timestamps of a file's packets continuous: correct single wrong ones, and undo jumps of the clock.

Times are seconds on the file's own clock, after correction.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from av import Packet
from av.stream import Stream

# A packet that begins at most this much (s), or this many packets, from the end of the last one is regular.
_SLACK, _REORDERED = 1.0, 4
# The longest gap (s) that is accepted, and the longest that ends before the declared end of its stream.
GAP, DECLARED_GAP = 12.0, 600.0
# After a jump, a stream keeps the correction of another one unless this would move it back by more than this (s).
_OVERLAP = 0.25
# Streams of a broadcast that end at most this far (s) from each other are cut together.
_TOGETHER = 1.0
# Packets of other streams until a held packet is released.
_PATIENCE = 200


@dataclass
class Track:
    """The clock of one stream.

    Attributes:
        tick: seconds of a unit of its timestamps.
        nominal: seconds of a packet that states no plausible duration.
        declared: seconds that the stream lasts by the header, or ``None``.
        first: the time of the first packet.
        reached: the end of the latest packet.
        offset: the correction, in ticks.
        longest: the longest gap (s) that was accepted.
        last: the timestamp of the last packet in decoding order, in ticks, not corrected.
        held: a packet with an irregular time, until a later one shows the reason.
        waited: packets of other streams since then.
    """

    tick: float
    nominal: float
    declared: float | None
    first: float | None = None
    reached: float = 0.0
    offset: int = 0
    longest: float = 0.0
    last: int | None = None
    held: Packet | None = None
    waited: int = 0

    def __post_init__(self) -> None:
        self.slack = max(_SLACK, _REORDERED * self.nominal)
        self.slack_ticks = round(self.slack / self.tick)

    def time(self, packet: Packet) -> float | None:
        ticks = packet.dts if packet.pts is None else packet.pts
        return None if ticks is None else (ticks + self.offset) * self.tick

    def follows(self, time: float, end: float) -> bool:
        return -self.slack <= time - end <= self.slack

    def gap(self, time: float) -> float:
        """The longest gap that may end at a time."""
        if self.declared is None or self.first is None:
            return GAP
        return DECLARED_GAP if time <= self.first + self.declared + _SLACK else self.slack

    def length(self, packet: Packet, time: float) -> float:
        """The seconds of a packet, if it states a duration that can be true."""
        stated = (packet.duration or 0) * self.tick
        within = self.declared is None or time + stated <= self.first + self.declared + _SLACK
        return stated if 0 < stated <= (DECLARED_GAP if within else self.slack) else self.nominal


class Clock:
    """Corrects the timestamps of packets.

    A packet whose time is far from its predecessor is held until the next one of its stream. If that one continues from
    the predecessor, the timestamp was wrong, and the packet is placed at the end of its predecessor; if not, the clock
    jumped. A jump back, or ahead over an implausibly long gap, is undone for all later packets, by the same correction
    in all streams if possible. The times of a file without either are not changed.

    Attributes:
        tracks: by the index of the stream.
        notes: sentences about jumps.
    """

    def __init__(self, streams: Sequence[Stream], declared: Sequence[float | None]) -> None:
        self.tracks = {stream.index: Track(float(stream.time_base), _nominal(stream), length)
                       for stream, length in zip(streams, declared, strict=True)}
        self.notes: list[str] = []
        self.waiting = 0

    def correct(self, packets: Iterable[Packet]) -> Iterator[Packet]:
        """Yield the packets in their order; held ones come later."""
        for packet in packets:
            track = self.tracks[packet.stream.index]
            if track.held is not None:
                yield self._release(track, packet)
            if not packet.size or self._is_regular(track, packet):
                yield packet
            else:
                track.held, track.waited = packet, 0
                self.waiting += 1
            if not self.waiting:
                continue
            for other in self.tracks.values():
                if other.held is not None and other is not track:
                    other.waited += 1
                    if other.waited > _PATIENCE or self._is_supported(other, other.time(other.held)):
                        yield self._release(other, None)

    def _release(self, track: Track, following: Packet | None) -> Packet:
        held, track.held = track.held, None
        self.waiting -= 1
        if not self._is_regular(track, held):
            self._settle(track, held, following)
        return held

    def _is_supported(self, track: Track, time: float) -> bool:
        """Whether another stream is at that time now."""
        others = [other for other in self.tracks.values() if other is not track]
        return any(abs(time - (other.time(other.held) if other.first is None else other.reached)) <= track.slack
                   for other in others if other.first is not None or other.held is not None)

    def _is_covered(self, track: Track, time: float) -> bool:
        """Whether another stream has passed a gap; in MPEG-TS, a picture comes where the next one begins."""
        return time > track.reached and any(
            other is not track and other.first is not None and other.first <= time <= other.reached + track.slack
            for other in self.tracks.values())

    def _is_regular(self, track: Track, packet: Packet) -> bool:
        """Whether a packet follows on the last one; if so it is accepted."""
        pts, dts, last = packet.pts, packet.dts, track.last
        if pts is None and dts is None:
            self._accept(track, packet, track.reached)
            return True
        time = track.time(packet)
        # In decoding order, times of pictures go back and forth, and dts is steady.
        steady = (last is not None and pts is not None and dts is not None
                  and 0 <= pts - dts <= track.slack_ticks and 0 <= dts - last <= track.slack_ticks)
        if not (steady or (track.first is not None and track.follows(time, track.reached))
                or self._is_supported(track, time)):
            return False
        self._accept(track, packet, time)
        return True

    def _accept(self, track: Track, packet: Packet, time: float) -> None:
        track.last = packet.dts
        if track.offset:
            packet.pts = None if packet.pts is None else packet.pts + track.offset
            packet.dts = None if packet.dts is None else packet.dts + track.offset
        if track.first is None:
            track.first = track.reached = time
        track.reached = max(track.reached, time + track.length(packet, time))

    def _settle(self, track: Track, held: Packet, following: Packet | None) -> None:
        """Accept a packet that was held, at the place that the next one of its stream, if any, indicates."""
        time, after = track.time(held), track.time(following) if following is not None and following.size else None
        if track.first is None:
            # If the first two do not agree, the second is accepted: the third one will check it.
            if after is not None and not -track.slack <= after - time <= track.gap(after):
                time = after - track.nominal
                self._move(track, held, time)
        elif not self._is_jump(track, time, after):
            time = track.reached
            self._move(track, held, time)
        elif not 0 < time - track.reached <= track.gap(time) and not self._is_covered(track, time):
            self._rebase(track, time)
            time = track.time(held)
        track.longest = max(track.longest, time - track.reached)
        self._accept(track, held, time)

    def _is_jump(self, track: Track, time: float, after: float | None) -> bool:
        """Whether the clock jumped to a time, judged by the next packet; if not, the time is wrong."""
        if after is None:
            declared = track.declared is not None and time <= track.first + track.declared
            return time > track.reached and (
                declared or time - track.reached <= track.longest or self._is_covered(track, time))
        return track.follows(after, time) or (after >= time > track.reached and not track.follows(after, track.reached))

    @staticmethod
    def _move(track: Track, packet: Packet, time: float) -> None:
        packet.pts = packet.dts = round(time / track.tick) - track.offset

    def _rebase(self, track: Track, time: float) -> None:
        """Undo a jump of the clock to a time."""
        raw, target = time - track.offset * track.tick, track.reached
        others = [other for other in self.tracks.values() if other is not track and other.first is not None]
        shared = [raw + other.offset * other.tick for other in others]
        together = track.reached + _TOGETHER if track.declared is None else track.reached
        target = max([target, *(other.reached for other in others if other.reached <= together)])
        target = next((place for place in shared if -_OVERLAP <= place - track.reached <= GAP), target)
        track.offset = round((target - raw) / track.tick)
        if target not in shared:
            self.notes.append(f"its clock jumps {'ahead' if time > track.reached else 'back'} by "
                              f"{abs(time - track.reached):.1f} s at second {track.reached - track.first:.1f}: "
                              "the part after it is placed directly after the part before it")


def _nominal(stream: Stream) -> float:
    """The seconds of one picture; 0 for sound, or without a plausible rate."""
    rates = (stream.average_rate, stream.guessed_rate) if stream.type == "video" else ()
    rate = max((float(rate) for rate in rates if rate), default=0.0)
    return 1 / rate if 1 / DECLARED_GAP <= rate <= 1000 else 0.0
