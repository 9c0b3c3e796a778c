"""Which items go together: models of one item given others, learned from baskets or customers.

Each is a matrix of weights, shape (items, items): row = what is in hand, column = what it speaks
for. How the weights of several items in hand add up is part of the model.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse
from scipy.linalg import lapack

# of more, the dense matrix would take more than 64 MB and a second: the rest is too rare to learn
MAX_EASE_ITEMS = 4000
INTEREST_PENALTY = 100.0  # of the diagonal, in customers: 50 to 300 rank alike
BASKET_PENALTY = 20.0  # in weighted baskets: 10 to 30 rank alike
RULE_PRIOR = 10.0  # baskets without the partner that every rule is charged with
NEIGHBOURS = 100  # of each item in the cosine model
_NEVER = np.float32(-np.inf)


@dataclass(frozen=True)
class ItemModel:
    """Weights between items and how those of several items in hand add up.

    Attributes:
        name: of the model.
        weights: shape (items, items), float32; sparse, or dense over `members` only.
        members: items that the dense weights stand for; None where all.
        takes_best: the strongest single reason counts (rules) rather than the sum.
    """

    name: str
    weights: sparse.csr_array | np.ndarray
    members: np.ndarray | None = None
    takes_best: bool = False

    def score(self, in_hand: sparse.csr_array, n_items: int) -> np.ndarray:
        """Scores of all items, shape (rows, items), float32; -inf for items it doesn't know.

        Args:
            in_hand: what each row has, with weights; shape (rows, items).
            n_items: number of items.
        """
        if self.members is not None:
            scores = np.full((in_hand.shape[0], n_items), _NEVER, np.float32)
            scores[:, self.members] = in_hand[:, self.members] @ self.weights
            return scores
        if self.takes_best:
            return _best_reason(in_hand, self.weights)
        return (in_hand @ self.weights).toarray()


def popularity(counts: np.ndarray) -> ItemModel:
    """The baseline: whatever is in hand, what most took; counts of shape (items,)."""
    top = np.argsort(-counts, kind="stable")[:MAX_EASE_ITEMS]
    members = np.sort(top)
    rows = np.broadcast_to(counts[members].astype(np.float32), (len(members), len(members)))
    return ItemModel("popularity", rows, members)


def together(baskets: sparse.csr_array) -> sparse.csr_array:
    """Baskets that hold both items; the diagonal counts those that hold the one."""
    return (baskets.T @ baskets).tocsr()


def rules(counts: sparse.csr_array) -> ItemModel:
    """Share of the baskets with the one that hold the other, shrunk by `RULE_PRIOR` baskets.

    The rule with the most confidence speaks; the sum of confidences lets popular items win.
    """
    single = counts.diagonal()
    pairs = _without_diagonal(counts)
    return ItemModel("rules", scale_rows(pairs, 1 / (single + RULE_PRIOR)), takes_best=True)


def cosine(counts: sparse.csr_array) -> ItemModel:
    """Baskets with both over the geometric mean of those with each; the nearest `NEIGHBOURS`."""
    root = 1 / np.sqrt(np.maximum(counts.diagonal(), 1))
    pairs = scale_rows(_without_diagonal(counts), root)
    pairs.data *= root[pairs.indices].astype(np.float32)
    return ItemModel("cosine", _strongest(pairs, NEIGHBOURS))


def ease(rows: sparse.csr_array, penalty: float) -> ItemModel:
    """EASE: the linear model that predicts each item from all others, in closed form.

    Source: Steck 2019, "Embarrassingly Shallow Autoencoders for Sparse Data", WWW '19. The weights
    are -P/diag(P) of the inverse P of the penalised co-occurrence matrix.

    Args:
        rows: baskets or customers with weights, shape (rows, items), float32.
        penalty: added to the diagonal; of the unit of the squared weights.
    """
    counts = np.asarray(rows.sum(axis=0)).ravel()
    members = np.sort(np.argsort(-counts, kind="stable")[:MAX_EASE_ITEMS])
    members = members[counts[members] > 0]
    part = rows[:, members]
    # symmetric, so its transpose is the same matrix in the order that LAPACK works in place
    gram = (part.T @ part).toarray().T
    gram[np.diag_indices_from(gram)] += np.float32(penalty)
    factor, failed = lapack.spotrf(gram, lower=1, overwrite_a=1)
    if not failed:
        weights, failed = lapack.spotri(factor, lower=1, overwrite_c=1)
    if failed:  # the penalty makes the matrix positive definite
        raise ArithmeticError("the co-occurrence matrix has no inverse")
    for row in range(len(weights) - 1):  # only the lower half was filled
        weights[row, row + 1 :] = weights[row + 1 :, row]
    weights = weights.T  # symmetric still; rows in one piece are multiplied faster
    weights /= -np.diag(weights).copy()
    weights[np.diag_indices_from(weights)] = 0
    return ItemModel("ease", weights, members)


def _best_reason(in_hand: sparse.csr_array, weights: sparse.csr_array) -> np.ndarray:
    scores = np.zeros((in_hand.shape[0], weights.shape[1]), np.float32)
    for row in range(in_hand.shape[0]):
        held = in_hand.indices[in_hand.indptr[row] : in_hand.indptr[row + 1]]
        for item in held:
            span = slice(weights.indptr[item], weights.indptr[item + 1])
            target = weights.indices[span]
            scores[row, target] = np.maximum(scores[row, target], weights.data[span])
    return scores


def _without_diagonal(counts: sparse.csr_array) -> sparse.csr_array:
    pairs = counts.tocoo()
    off = pairs.row != pairs.col
    return sparse.csr_array((pairs.data[off], (pairs.row[off], pairs.col[off])), shape=counts.shape)


def scale_rows(matrix: sparse.csr_array, factor: np.ndarray) -> sparse.csr_array:
    """Each row times its factor."""
    scaled = matrix.copy()
    scaled.data *= np.repeat(factor, np.diff(matrix.indptr)).astype(np.float32)
    return scaled


def _strongest(matrix: sparse.csr_array, size: int) -> sparse.csr_array:
    """Only the `size` largest entries of each row."""
    if matrix.shape[1] <= size:
        return matrix
    parts = []
    for start in range(0, matrix.shape[0], 500):
        dense = matrix[start : start + 500].toarray()
        least = np.partition(dense, -size, axis=1)[:, -size, None]
        parts.append(sparse.csr_array(np.where(dense >= least, dense, 0)))
    return sparse.vstack(parts, format="csr")
