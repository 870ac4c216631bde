"""A circuit's structure, found once: alternating layers that mix single qubits and layers that are diagonal.

Every gate is a product of rotations exp(-i a/2 P) with P a Pauli letter, or a pair of letters, and an angle a that is
affine in the engine's values. Three rewritings bring any sequence of them into few layers:

1. Quarter turns of one qubit (h, s, x, rx(pi/2), ...) are not executed: they only rename the letters of what follows,
   and of what is measured. Exchanged qubits are renamed too.
2. Rotations by pairs of letters that commute share a layer, however many there are. Each qubit's letter in a layer is
   named Z, so that the layer is diagonal. All XX of a Born machine's layer become one pass over the state.
3. What remains of one qubit between two layers is a word: rotations about Y and Z in turn. Its outer Z belong to the
   diagonal layers around it. A word of one Y mixes the qubit by a real rotation; a longer one is multiplied out, and
   decomposed as Z Y Z, when its angles are known. The first words act on |0>, so they prepare a product state.

Why Y for mixing: the matrix is real. A qubit measured in its layer's letter needs no word at its end; and a diagonal
layer, or part of one, that nothing mixes afterwards is dropped: it cannot be seen.

Where values are known to agree (`find_structure`'s aliases), rotations whose angles then vanish are quiet: they do not
end a layer, but their derivatives are still asked for, each where it stands within its layer.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property
from itertools import product
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from qcaan.circuits.circuit import Gate
from qcaan.circuits.gates import FloatArray
from qcaan.circuits.rotations import HALF_PI, Affine, Letter, X, Y, Z, rotations

Key = TypeVar("Key", int, tuple[int, int])


Rotation = tuple[Letter, Affine]
Word = list[Rotation]


def _times(p: Letter, q: Letter) -> Letter:
    """The letter r with P Q = i R, for different letters."""
    third = 6 - abs(p) - abs(q)
    cyclic = (abs(q) - abs(p)) % 3 == 1
    return third * (1 if (p > 0) == (q > 0) else -1) * (1 if cyclic else -1)


def turned(p: Letter, q: Letter, quarters: int) -> Letter:
    """exp(-i a/2 Q) P exp(i a/2 Q) for a = quarters * pi/2: P seen after a turn about Q."""
    for _ in range(quarters % 4 if abs(p) != abs(q) else 0):
        p = _times(q, p)
    return p


@dataclass
class _Layer:
    fields: dict[int, Affine] = field(default_factory=dict)
    pairs: dict[tuple[int, int], Affine] = field(default_factory=dict)
    partners: dict[int, list[int]] = field(default_factory=dict)
    """Of every qubit, in the order of time."""
    quiet: dict[int, tuple[Letter, dict[int, Affine]]] = field(default_factory=dict)
    """The letter of a qubit's quiet rotations, and each by how many partners came before it."""

    def joins(self, q: int, partner: int, word: Word) -> bool:
        """Whether a further pair joins the layer behind this word of quiet rotations."""
        letters = {letter for letter, _ in word} | ({self.quiet[q][0]} if q in self.quiet else set())
        return len(letters) == 0 or (len(letters) == 1 and partner not in self.partners[q])

    def add_partner(self, q: int, partner: int, word: Word) -> None:
        """A pair joins behind this word, which is emptied."""
        partners = self.partners.setdefault(q, [])
        for letter, angle in word:
            self.quiet.setdefault(q, (letter, {}))[1][len(partners)] = angle
        word.clear()
        if partner not in partners:
            partners.append(partner)


@dataclass
class _Qubit:
    """Where one qubit stands: the letters of its layers so far, and the word since the last of them."""

    names: dict[Letter, Letter] = field(default_factory=lambda: {X: X, Y: Y, Z: Z})
    layers: list[tuple[int, Letter]] = field(default_factory=list)
    words: list[Word] = field(default_factory=lambda: [[]])

    def renamed(self, letter: Letter) -> Letter:
        name = self.names[abs(letter)]
        return name if letter > 0 else -name

    def turn(self, letter: Letter, quarters: int) -> None:
        """Record a quarter turn instead of executing it."""
        self.names = {p: self.renamed(turned(p, letter, -quarters)) for p in (X, Y, Z)}


Ints = NDArray[np.int32]
Tables = tuple[Ints, Ints, FloatArray, FloatArray, Ints, Ints, Ints, Ints, Ints]
"""starts, indices, scales, offsets, pairs, fields, words, word_starts, word_angles of a `Structure`."""
Quiet = tuple[Ints, Ints]
"""heads, passed of a `Structure`."""


@dataclass(frozen=True, eq=False)
class Structure:
    """The tables that `qcaan.circuits.evolve` executes. Bit b of an outcome's index is qubit n-1-b.

    Expressions (angles): e has the value offsets[e] + sum of scales[t] * values[indices[t]], t in the range
    starts[e]..starts[e+1]. Layers: `pairs` (n_layers, n, n) and `fields` (n_layers, n) hold the expression of a pair
    (bit, lower bit) or of a bit, -1 for none; `words` (n_layers + 1, n) holds the word of a bit before the first
    layer or after each, -1 for none; word w is the expressions word_angles[word_starts[w]..word_starts[w+1]], about
    Y, Z, Y, ..., Y.

    Quiet rotations: `passed` (n_layers, n, n, 2) holds the partners of a bit in the order of time, each with the
    expression of the quiet rotation before it, -1 for none; `heads` (n_layers, n) holds the expression of the turn
    about Z before all of them that makes them rotations about Y, -1 where there are none. All integers are int32.
    """

    n_qubits: int
    starts: NDArray[np.int32]
    indices: NDArray[np.int32]
    scales: FloatArray
    offsets: FloatArray
    pairs: NDArray[np.int32]
    fields: NDArray[np.int32]
    words: NDArray[np.int32]
    word_starts: NDArray[np.int32]
    word_angles: NDArray[np.int32]
    heads: NDArray[np.int32]
    passed: NDArray[np.int32]

    @cached_property
    def spaces(self) -> list[Any]:
        """Work spaces that no thread is using; whoever takes one puts it back."""
        return []

    @property
    def n_forward(self) -> int:
        """Stages of `qcaan.circuits.evolve.run_forward`."""
        return 2 * len(self.words)

    @property
    def n_backward(self) -> int:
        """Stages of `qcaan.circuits.evolve.run_backward`."""
        return 5 * len(self.words) - 3

    @cached_property
    def quiet(self) -> Quiet | None:
        """The tables of quiet rotations, if there are any."""
        return (self.heads, self.passed) if (self.heads >= 0).any() else None

    @cached_property
    def tables(self) -> Tables:
        """What the compiled passes take: all arrays in the order above."""
        return (
            self.starts, self.indices, self.scales, self.offsets, self.pairs, self.fields, self.words,
            self.word_starts, self.word_angles,
        )  # fmt: skip


def find_structure(n_qubits: int, gates: Iterable[Gate], aliases: Mapping[int, int] | None = None) -> Structure:
    """The layers of a circuit on |0...0>, all qubits measured in Z; for values in which entries equal their aliases."""
    qubits = [_Qubit() for _ in range(n_qubits)]
    where = list(range(n_qubits))
    layers = [_Layer()]
    for gate in gates:
        if gate.name == "swap":
            a, b = gate.qubits
            where[a], where[b] = where[b], where[a]
            continue
        for letters, angle in rotations(gate):
            _add(qubits, layers, {where[gate.qubits[i]]: p for i, p in letters.items()}, angle, aliases or {})
    bits = {where[q]: n_qubits - 1 - q for q in range(n_qubits)}
    return _tables(n_qubits, *_in_frames(qubits, layers, bits))


def _add(
    qubits: list[_Qubit], layers: list[_Layer], letters: dict[int, Letter], angle: Affine, aliases: Mapping[int, int]
) -> None:
    """Place one rotation as early as what it does not commute with allows."""
    quarters = angle.quarter_turns
    if quarters is not None and (len(letters) == 1 or quarters % 2 == 0):
        for q, letter in letters.items():  # half a turn of a pair is half a turn of each
            qubits[q].turn(letter, quarters)
        return
    renamed = {q: qubits[q].renamed(letter) for q, letter in letters.items()}
    for q, letter in renamed.items():
        angle = angle if letter > 0 else -angle
        renamed[q] = abs(letter)
    if len(renamed) == 1:
        ((q, letter),) = renamed.items()
        qubit = qubits[q]
        level, current = qubit.layers[-1] if qubit.layers else (0, None)
        if current == letter and not qubit.words[-1] and q not in layers[level].quiet:
            _accumulate(layers[level].fields, q, angle)
        else:
            _extend(qubit.words[-1], letter, angle)
        return
    a, b = sorted(renamed)
    partners = {a: b, b: a}
    level = 1
    for q, letter in renamed.items():
        last, current = qubits[q].layers[-1] if qubits[q].layers else (0, None)
        word = qubits[q].words[-1]
        joins = current == letter and all(_vanishes(quiet, aliases) for _, quiet in word)
        level = max(level, last if joins and layers[last].joins(q, partners[q], word) else last + 1)
    layers.extend(_Layer() for _ in range(level + 1 - len(layers)))
    for q, letter in renamed.items():
        qubit = qubits[q]
        if not qubit.layers or qubit.layers[-1][0] != level:
            if qubit.words[-1] and qubit.words[-1][-1][0] == letter:
                _accumulate(layers[level].fields, q, qubit.words[-1].pop()[1])
            qubit.layers.append((level, letter))
            qubit.words.append([])
        layers[level].add_partner(q, partners[q], qubit.words[-1])
    _accumulate(layers[level].pairs, (a, b), angle)


def _vanishes(angle: Affine, aliases: Mapping[int, int]) -> bool:
    """The angle is trivial for values that equal their aliases."""
    terms = (Affine(((aliases.get(index, index), scale),)) for index, scale in angle.terms)
    return bool(aliases) and sum(terms, Affine((), angle.offset)).is_trivial


def _accumulate(angles: dict[Key, Affine], key: Key, angle: Affine) -> None:
    angles[key] = angles.get(key, Affine()) + angle


def _extend(word: Word, letter: Letter, angle: Affine) -> None:
    """Append a rotation to a word, in which neighbours have different letters and nothing is trivial."""
    if word and word[-1][0] == letter:
        angle = word.pop()[1] + angle
    if not angle.is_trivial:
        word.append((letter, angle))


Frame = dict[Letter, Letter]
"""The images of X, Y and Z under a rotation."""


@cache
def _frame(a: int, b: int, c: int) -> Frame:
    """The rotation by c quarter turns about Z, then b about Y, then a about Z."""
    return {p: turned(turned(turned(p, Z, c), Y, b), Z, a) for p in (X, Y, Z)}


_QUARTERS = [(a, b, c) for b, a, c in product(range(4), repeat=3)]


def _image(frame: Frame, letter: Letter) -> Letter:
    return frame[letter] if letter > 0 else -frame[-letter]


@cache
def _frame_of(letter: Letter) -> Frame:
    """A frame that names this letter Z."""
    return next(frame for quarters in _QUARTERS if _image(frame := _frame(*quarters), letter) == Z)


_AS_Y = {Y: 0, X: 1, -Y: 2, -X: 3}
"""Quarter turns about Z that make a letter Y."""


def _in_frames(
    qubits: list[_Qubit], layers: list[_Layer], bits: dict[int, int]
) -> tuple[list[_Layer], dict[tuple[int, int], Word], dict[tuple[int, int], Affine]]:
    """Layers, words and heads by bit, in terms of Y and Z; of the layers, only what can be seen."""
    words: dict[tuple[int, int], Word] = {}
    heads: dict[tuple[int, int], Affine] = {}
    seen: dict[int, int] = {}
    signs: dict[int, float] = {}
    fields: list[dict[int, Affine]] = [{} for _ in layers]
    for q, qubit in enumerate(qubits):
        bit, measured = bits[q], qubit.renamed(Z)
        signs[q] = sign = 1 if measured > 0 else -1
        for level, _ in qubit.layers:
            if q in layers[level].fields:
                _accumulate(fields[level], bit, layers[level].fields[q] * sign)
        frames = [_frame(0, 0, 0), *(_frame_of(sign * letter) for _, letter in qubit.layers), _frame_of(measured)]
        levels = [0, *(level for level, _ in qubit.layers), 0]
        for word, frame, following, level, upcoming in zip(
            qubit.words, frames[:-1], frames[1:], levels[:-1], levels[1:], strict=True
        ):
            rewritten = _in_y_and_z(word, frame, following)
            if rewritten and rewritten[0][0] == Z:
                _, angle = rewritten.pop(0)
                if level:
                    _accumulate(fields[level], bit, angle)
            if rewritten and rewritten[-1][0] == Z:
                _, angle = rewritten.pop()
                if upcoming:
                    _accumulate(fields[upcoming], bit, angle)
            if rewritten:
                words[level, bit] = rewritten
                seen[bit] = level
            if upcoming and q in layers[upcoming].quiet:
                quarters = _AS_Y[_image(following, layers[upcoming].quiet[q][0])]
                heads[upcoming, bit] = fields[upcoming].get(bit, Affine()) + quarters * HALF_PI
                seen[bit] = upcoming
    out = [_Layer() for _ in range(1 + max(seen.values(), default=0))]
    for level, layer in enumerate(out):
        layer.fields = {b: a for b, a in fields[level].items() if seen.get(b, 0) >= level and not a.is_trivial}
        for (p, q), angle in layers[level].pairs.items():
            pair = (max(bits[p], bits[q]), min(bits[p], bits[q]))
            if max(seen.get(bit, 0) for bit in pair) >= level and not angle.is_trivial:
                layer.pairs[pair] = angle * (signs[p] * signs[q])
        layer.partners = {bits[q]: [bits[p] for p in partners] for q, partners in layers[level].partners.items()}
        layer.quiet = {bits[q]: quiet for q, quiet in layers[level].quiet.items()}
    return out, words, heads


def _in_y_and_z(word: Word, frame: Frame, following: Frame) -> Word:
    """A word in the letters of its frame, ending with the change to the following frame; about Y and Z in turn."""
    back = {abs(image): letter if image > 0 else -letter for letter, image in frame.items()}
    change = {p: _image(following, back[p]) for p in (X, Y, Z)}
    a, b, c = next(quarters for quarters in _QUARTERS if _frame(*quarters) == change)
    named = [(_image(frame, letter), angle) for letter, angle in word]
    named += [(Z, Affine((), c * HALF_PI)), (Y, Affine((), b * HALF_PI)), (Z, Affine((), a * HALF_PI))]
    out: Word = []
    for letter, angle in named:
        turn = Affine((), HALF_PI if abs(letter) == X else 0.0)
        _extend(out, Z, turn)
        _extend(out, Z if abs(letter) == Z else Y, angle if letter > 0 else -angle)
        _extend(out, Z, -turn)
    return out


def _tables(
    n_qubits: int,
    layers: list[_Layer],
    words: dict[tuple[int, int], Word],
    heads: dict[tuple[int, int], Affine],
) -> Structure:
    ids: dict[Affine, int] = {}

    def number(angle: Affine) -> int:
        return ids.setdefault(angle, len(ids))

    n = max(n_qubits, 3)

    def empty(*shape: int) -> Ints:
        return np.full(shape, -1, dtype=np.int32)

    pairs, fields, table = empty(len(layers) - 1, n, n), empty(len(layers) - 1, n), empty(len(layers), n)
    starting, passed = empty(len(layers) - 1, n), empty(len(layers) - 1, n, n, 2)
    for level, layer in enumerate(layers[1:]):
        for (high, low), angle in layer.pairs.items():
            pairs[level, high, low] = number(angle)
        for bit, angle in layer.fields.items():
            fields[level, bit] = number(angle)
        for bit, (_, angles) in layer.quiet.items():
            starting[level, bit] = number(heads[level + 1, bit])
            for k, partner in enumerate(layer.partners[bit]):
                passed[level, bit, k] = partner, number(angles[k]) if k in angles else -1
    starts, word_angles = [0], []
    for w, ((level, bit), word) in enumerate(words.items()):
        table[level, bit] = w
        word_angles += [number(angle) for _, angle in word]
        starts.append(len(word_angles))
    lengths = np.cumsum([0, *(len(angle.terms) for angle in ids)])
    return Structure(
        n_qubits=n,
        starts=lengths.astype(np.int32),
        indices=np.array([i for angle in ids for i, _ in angle.terms], dtype=np.int32),
        scales=np.array([s for angle in ids for _, s in angle.terms], dtype=np.float64),
        offsets=np.array([angle.offset for angle in ids], dtype=np.float64),
        pairs=pairs,
        fields=fields,
        words=table,
        word_starts=np.array(starts, dtype=np.int32),
        word_angles=np.array(word_angles, dtype=np.int32),
        heads=starting,
        passed=passed,
    )
