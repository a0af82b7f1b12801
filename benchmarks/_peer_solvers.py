"""Other packages' solvers on codes on the simplex, in an environment that holds them and NumPy, and not this project.

    _build/peers/bin/python benchmarks/_peer_solvers.py NAME PROBLEM.npz CODES.npy

Each solver is given what its own documentation asks for, at its defaults: a general one the quadratic programme
½xᵀGx − bᵀx over x ≥ 0, Σx = 1, one sample at a time; one that knows the simplex the samples and the atoms. Prints the
seconds of processor time of each sample, or of all together over their number, and what the solver refused.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from importlib import metadata
from typing import Any

import numpy as np

#: Weight of the row that stands for Σx = 1 in non-negative least squares, in units of the largest atom.
HEAVY = 1e3

Solve = Callable[[np.ndarray], np.ndarray]


def daqp(gram: np.ndarray) -> Solve:
    import daqp as package

    m = len(gram)
    upper, lower = np.append(np.full(m, 1e30), 1.0), np.append(np.zeros(m), 1.0)
    sense = np.append(np.zeros(m, dtype=np.int32), np.int32(5))  # the last row is an equality

    def solve(linear: np.ndarray) -> np.ndarray:
        x, _, flag, _ = package.solve(gram, -linear, np.ones((1, m)), upper, lower, sense)
        if flag < 1:
            raise RuntimeError(f"exit flag {flag}")
        return x

    return solve


def piqp(gram: np.ndarray) -> Solve:
    import piqp as package

    m = len(gram)

    def solve(linear: np.ndarray) -> np.ndarray:
        solver = package.DenseSolver()
        solver.setup(gram, -linear, np.ones((1, m)), np.ones(1), x_l=np.zeros(m), x_u=np.full(m, np.inf))
        status = solver.solve()
        if status != package.PIQP_SOLVED:
            raise RuntimeError(str(status))
        return solver.result.x

    return solve


def clarabel(gram: np.ndarray) -> Solve:
    import clarabel as package
    from scipy import sparse

    m = len(gram)
    upper = sparse.csc_matrix(np.triu(gram))
    rows = sparse.vstack([np.ones((1, m)), -sparse.identity(m)], format="csc")
    right, cones = np.append(1.0, np.zeros(m)), [package.ZeroConeT(1), package.NonnegativeConeT(m)]
    settings = package.DefaultSettings()
    settings.verbose = False

    def solve(linear: np.ndarray) -> np.ndarray:
        found = package.DefaultSolver(upper, -linear, rows, right, cones, settings).solve()
        if str(found.status) != "Solved":
            raise RuntimeError(str(found.status))
        return np.array(found.x)

    return solve


def osqp(gram: np.ndarray) -> Solve:
    import osqp as package
    from scipy import sparse

    m = len(gram)
    upper = sparse.csc_matrix(np.triu(gram))
    rows = sparse.vstack([np.ones((1, m)), sparse.identity(m)], format="csc")

    def solve(linear: np.ndarray) -> np.ndarray:
        solver = package.OSQP()
        solver.setup(
            upper, -linear, rows, np.append(1.0, np.zeros(m)), np.append(1.0, np.full(m, np.inf)), verbose=False
        )
        found = solver.solve()
        if found.info.status != "solved":
            raise RuntimeError(found.info.status)
        return found.x

    return solve


def proxqp(gram: np.ndarray) -> Solve:
    import proxsuite

    m = len(gram)

    def solve(linear: np.ndarray) -> np.ndarray:
        problem = proxsuite.proxqp.dense.QP(m, 1, m)
        problem.init(gram, -linear, np.ones((1, m)), np.ones(1), np.eye(m), np.zeros(m), np.full(m, np.inf))
        problem.solve()
        status = problem.results.info.status.name
        if status != "PROXQP_SOLVED":
            raise RuntimeError(status)
        return problem.results.x

    return solve


def highs(gram: np.ndarray) -> Solve:
    import highspy

    m = len(gram)
    columns, rows = np.tril_indices(m)[::-1]
    order = np.lexsort((rows, columns))
    starts = np.concatenate([[0], np.cumsum(np.arange(m, 0, -1))])

    def solve(linear: np.ndarray) -> np.ndarray:
        model = highspy.HighsModel()
        lp = model.lp_
        lp.num_col_, lp.num_row_, lp.col_cost_ = m, 1, -linear
        lp.col_lower_, lp.col_upper_ = np.zeros(m), np.full(m, highspy.kHighsInf)
        lp.row_lower_, lp.row_upper_ = np.ones(1), np.ones(1)
        lp.a_matrix_.format_ = highspy.MatrixFormat.kColwise
        lp.a_matrix_.start_, lp.a_matrix_.index_ = np.arange(m + 1), np.zeros(m, dtype=np.int32)
        lp.a_matrix_.value_ = np.ones(m)
        model.hessian_.dim_, model.hessian_.format_ = m, highspy.HessianFormat.kTriangular
        model.hessian_.start_, model.hessian_.index_ = starts, rows[order]
        model.hessian_.value_ = gram[rows[order], columns[order]]
        solver = highspy.Highs()
        solver.silent()
        solver.passModel(model)
        solver.run()
        status = solver.getModelStatus()
        if status != highspy.HighsModelStatus.kOptimal:
            raise RuntimeError(solver.modelStatusToString(status))
        return np.array(solver.getSolution().col_value)

    return solve


def spams(patches: np.ndarray, atoms: np.ndarray) -> np.ndarray:
    import spams as package

    columns, dictionary = np.asfortranarray(patches.T), np.asfortranarray(atoms.T)
    return package.decompSimplex(columns, dictionary, computeXtX=True, numThreads=1).toarray().T


def archetypes(patches: np.ndarray, atoms: np.ndarray) -> np.ndarray:
    from archetypes import AA

    model = AA(len(atoms)).set_params(method="pgd")
    model.archetypes_, model.n_archetypes_, model.n_features_in_ = atoms, len(atoms), atoms.shape[1]
    return model.transform(patches)


def scikit_learn_nnls(patches: np.ndarray, atoms: np.ndarray) -> np.ndarray:
    from sklearn.linear_model import LinearRegression

    weight = HEAVY * np.linalg.norm(atoms, axis=1).max()
    rows = np.vstack([atoms.T, np.full(len(atoms), weight)])
    targets = np.vstack([patches.T, np.full(len(patches), weight)])
    return LinearRegression(positive=True, fit_intercept=False).fit(rows, targets).coef_


def scikit_learn_nmf(patches: np.ndarray, atoms: np.ndarray) -> np.ndarray:
    from sklearn.decomposition import non_negative_factorization

    return non_negative_factorization(patches, H=atoms, n_components=len(atoms), update_H=False)[0]


#: Solvers of any quadratic programme, and of the one at λ = 0: name → function, distribution.
GENERAL = {
    "DAQP": (daqp, "daqp"),
    "PIQP": (piqp, "piqp"),
    "Clarabel": (clarabel, "clarabel"),
    "OSQP": (osqp, "osqp"),
    "ProxQP": (proxqp, "proxsuite"),
    "HiGHS": (highs, "highspy"),
}
HULL = {
    "SPAMS": (spams, "spams-bin"),
    "archetypes": (archetypes, "archetypes"),
    "scikit-learn, NNLS": (scikit_learn_nnls, "scikit-learn"),
    "scikit-learn, NMF": (scikit_learn_nmf, "scikit-learn"),
}


def timed(call: Callable[[], np.ndarray]) -> tuple[np.ndarray, float]:
    start = time.process_time()
    result = call()
    return result, time.process_time() - start


def solved(name: str, problem: dict[str, np.ndarray]) -> Iterator[tuple[np.ndarray, float]]:
    """Codes, some rows at a time, and processor time per sample; one sample goes before that is not counted."""
    if name in GENERAL:
        solve = GENERAL[name][0](problem["gram"])
        solve(problem["linear"][0])
        for linear in problem["linear"]:
            codes, seconds = timed(lambda linear=linear: solve(linear))  # type: ignore[misc]
            yield codes[None], seconds
    elif problem["lam"] > 0:
        raise ValueError("knows λ = 0 alone")
    else:
        code, patches, atoms = HULL[name][0], problem["patches"], problem["atoms"]
        code(patches[:1], atoms)
        codes, seconds = timed(lambda: code(patches, atoms))
        yield codes, seconds / len(patches)


def run(name: str, problem: dict[str, np.ndarray], output: str) -> dict[str, Any]:
    try:
        parts = list(solved(name, problem))
    except (ValueError, RuntimeError) as error:
        return {"refused": str(error).splitlines()[0]}
    np.save(output, np.concatenate([codes for codes, _ in parts]))
    return {"seconds": float(np.median([seconds for _, seconds in parts]))}


if __name__ == "__main__":
    name, problem, output = sys.argv[1:]
    found = run(name, dict(np.load(problem, allow_pickle=False)), output)
    distribution = (GENERAL | HULL)[name][1]
    print(json.dumps({**found, "version": metadata.version(distribution)}))
