"""The paper's network: T layers of accelerated projected gradient descent with tied weights."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec

import torch

from wlsc._validation import at_least_float32
from wlsc.problem import quadratic_terms
from wlsc.simplex import project_last

#: The fused layers round their products as torch is told to round those of float32 matrices.
_FUSED_PRECISION = {"highest": "float32", "high": "tf32", "medium": "bfloat16"}

#: Bytes of shared memory that the fused layers need: data-centre GPUs since the A100 have them.
_FUSED_SHARED_MEMORY = 140_000

#: Squarings that leave 3e-7 of an eigenvalue of matrices of up to 4,096 rows open.
_SQUARINGS = 25


def spectral_step_size(dictionary: torch.Tensor) -> torch.Tensor:
    """Step size η = 1/σ_max(A)², the inverse of the gradient's Lipschitz constant, as a detached scalar tensor.

    Of half precision it is computed, and given, in float32.

    Parameters
    ----------
    dictionary
        Shape (n_atoms, n_features).
    """
    atoms = at_least_float32(dictionary.detach())
    small = atoms @ atoms.T if atoms.shape[0] <= atoms.shape[1] else atoms.T @ atoms
    largest = _eigenvalue_by_squaring(small) if torch.compiler.is_exporting() else torch.linalg.eigvalsh(small)[-1]
    return torch.where(largest > 0, 1 / largest, torch.ones_like(largest))


def _eigenvalue_by_squaring(gram: torch.Tensor) -> torch.Tensor:
    """Largest eigenvalue of a positive semi-definite matrix from products alone: ONNX knows no eigenvalues.

    With G₀ = G and G_{k+1} = (G_k / tr G_k)², log λ_max(G) = Σ_k 2⁻ᵏ log tr G_k up to 2⁻ᴷ log(rank) after K squarings.
    """
    logarithm = torch.zeros_like(gram[0, 0])
    for k in range(_SQUARINGS + 1):
        trace = gram.diagonal().sum()
        scale = torch.where(trace > 0, trace, 1)
        logarithm = logarithm + scale.log() / 2**k
        gram = (gram / scale) @ (gram / scale)
    return torch.where(trace > 0, logarithm.exp(), 0)


def unroll(
    gram: torch.Tensor,
    linear: torch.Tensor,
    n_layers: int,
    step_size: torch.Tensor | float,
    n_differentiated: int | None = None,
    prox: Callable[[torch.Tensor], torch.Tensor] = project_last,
) -> torch.Tensor:
    """Codes after ``n_layers`` layers, differentiable with respect to all three tensors.

    With x₀ = z₀ = 0, layer t = 0, 1, … computes x_{t+1} = P(z_t − η(G z_t − b)) and
    z_{t+1} = x_{t+1} + t/(t+3) · (x_{t+1} − x_t), where P is the projection onto the simplex [1]_ [2]_.

    Parameters
    ----------
    gram
        Gram matrix G of the atoms, shape (n_atoms, n_atoms).
    linear
        Linear term b of `wlsc.problem.quadratic_terms`, shape (n_samples, n_atoms).
    n_layers
        Number T ≥ 1 of layers.
    step_size
        Step size η > 0, a number or a scalar tensor.
    n_differentiated
        Let gradients flow through this many last layers only (truncated back-propagation); all of them by default.
    prox
        What each layer ends with: the projection onto the simplex, or another model's proximal operator.

    Returns
    -------
    torch.Tensor
        Codes, shape (n_samples, n_atoms).

    References
    ----------
    .. [1] A. Beck, M. Teboulle, A fast iterative shrinkage-thresholding algorithm for linear inverse problems, SIAM
       Journal on Imaging Sciences 2 (2009) 183–202.
    .. [2] K. Gregor, Y. LeCun, Learning fast approximations of sparse coding, ICML (2010) 399–406.
    """
    n_plain = 0 if n_differentiated is None else max(n_layers - n_differentiated, 0)
    codes = extrapolated = torch.zeros_like(linear)
    for layer in range(n_layers):
        with torch.set_grad_enabled(torch.is_grad_enabled() and layer >= n_plain):
            previous = codes
            codes = prox(extrapolated - step_size * (extrapolated @ gram - linear))
            extrapolated = codes + layer / (layer + 3) * (codes - previous)
    return codes


def encode_unrolled(
    patches: torch.Tensor,
    dictionary: torch.Tensor,
    lam: float,
    n_layers: int,
    step_size: torch.Tensor | float | None = None,
    n_differentiated: int | None = None,
) -> torch.Tensor:
    """Codes of ``patches`` after ``n_layers`` layers; see `unroll`. The step is 1/σ_max(A)² by default.

    On CUDA, where no gradient is asked for and Triton is installed, one fused kernel computes all layers, in the
    precision that `torch.set_float32_matmul_precision` names: "highest" is float32, "high" TF32, "medium" bfloat16.
    """
    step = spectral_step_size(dictionary) if step_size is None else step_size
    gram, linear = quadratic_terms(patches, dictionary, lam)
    if _can_be_fused(gram, linear, step):
        from wlsc.inference._fused import fused_unroll

        return fused_unroll(gram, linear, n_layers, step, _FUSED_PRECISION[torch.get_float32_matmul_precision()])
    return unroll(gram, linear, n_layers, step, n_differentiated)


def _can_be_fused(gram: torch.Tensor, linear: torch.Tensor, step_size: torch.Tensor | float) -> bool:
    tensors = [tensor for tensor in (gram, linear, step_size) if isinstance(tensor, torch.Tensor)]
    if not linear.is_cuda or linear.dtype != torch.float32 or find_spec("triton") is None:
        return False
    if torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors):
        return False
    properties = torch.cuda.get_device_properties(linear.device)
    return getattr(properties, "shared_memory_per_block_optin", 0) >= _FUSED_SHARED_MEMORY
