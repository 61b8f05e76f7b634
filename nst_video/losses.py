"""The losses, as pure functions of features and images. Nothing here knows settings, devices or networks."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx


def _raised(tensor: Tensor) -> Tensor:
    """Half types as float32, in which sums of squares fit; others as they are."""
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))


class Guide(NamedTuple):
    """Where in a picture to look, in each of R ways: `weights` (R, H, W) in [0, 1], of the features' size, and what
    they sum up to over the whole picture, `total` (R,). A part of the features comes with a part of the weights.
    """

    weights: Tensor
    total: Tensor

    def copy_(self, other: Guide) -> None:
        """Take over another's, in place."""
        self.weights.copy_(other.weights)
        self.total.copy_(other.total)


def gram_matrix(features: Tensor, guide: Guide | None = None) -> Tensor:
    """Correlations between channels, averaged over positions: G_ij = (1/M) Σ_p F_ip F_jp.

    features: (N, C, H, W), any float type; the answer is (N, C, C), at least in float32. With a `guide`, of one picture
    (1, C, H, W), the mean is weighted, G_ij = Σ_p w_p F_ip F_jp / Σ_p w_p, in each of its ways: (R, C, C).
    Gatys et al., CVPR 2016, eq. 3, sum instead; the 1/M here is the paper's 1/M² of eq. 4, moved inside
    so that a style picture of another size than the content gives comparable matrices. Products of half types are
    summed up in float32, so they cannot overflow.
    """
    rows = features.permute(0, 2, 3, 1)
    return _Gram.apply(rows) if guide is None else _GuidedGram.apply(rows, *guide)  # type: ignore[no-any-return]


class _Gram(torch.autograd.Function):
    """The Gram matrices (N, C, C) of channels-last features (N, H, W, C), which need no copy to become (N, M, C).

    G is symmetric, so its gradient needs one product, F·(Ġ + Ġᵀ)/M, where automatic differentiation takes two.
    """

    @staticmethod
    def forward(ctx: FunctionCtx, features: Tensor) -> Tensor:
        ctx.save_for_backward(features)
        rows = features.flatten(1, 2)
        if rows.is_cuda and rows.element_size() == 2:  # its matrix units take halves and answer in float32
            return torch.bmm(rows.transpose(1, 2), rows, out_dtype=torch.float32) / rows.shape[1]
        rows = _raised(rows)
        return rows.transpose(1, 2) @ rows / rows.shape[1]

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        features: Tensor = ctx.saved_tensors[0]
        rows = features.flatten(1, 2)
        if rows.dtype == torch.float16:  # whose range the share would leave
            rows = _raised(rows)
        share = (grad + grad.transpose(1, 2)) / rows.shape[1]
        return (rows @ share.to(rows.dtype)).to(features.dtype).view_as(features)


class _GuidedGram(torch.autograd.Function):
    """The same of one picture (1, H, W, C), weighted in R ways. Gatys et al., CVPR 2017, "Controlling Perceptual
    Factors", eq. 4 and 5, whose squared guidance channels are the weights here."""

    @staticmethod
    def forward(ctx: FunctionCtx, features: Tensor, weights: Tensor, total: Tensor) -> Tensor:
        ctx.save_for_backward(features, weights, total)
        return guided_product(features.flatten(0, 2), Guide(weights, total))

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        features, weights, total = ctx.saved_tensors
        added = guided_gradient(features.flatten(0, 2), Guide(weights, total), grad)
        return added.to(features.dtype).view_as(features), None, None


def guided_product(rows: Tensor, guide: Guide) -> Tensor:
    """Σ_p w_p F_ip F_jp / Σ_p w_p of rows (M, C): (R, C, C), at least in float32.

    Products of bfloat16, whose range is that of float32, are rounded once: raising it first takes up to five times as
    long.
    """
    rows = rows if rows.dtype == torch.bfloat16 else _raised(rows)
    products = [_raised((rows * weights.flatten()[:, None].to(rows)).T @ rows) for weights in guide.weights]
    return torch.stack(products) / guide.total[:, None, None]


def guided_gradient(rows: Tensor, guide: Guide, of_grams: Tensor) -> Tensor:
    """What reaches rows (M, C) of the gradient (R, C, C) of their `guided_product`."""
    rows = rows if rows.dtype == torch.bfloat16 else _raised(rows)
    shares = ((of_grams + of_grams.transpose(1, 2)) / guide.total[:, None, None]).to(rows)
    total = torch.zeros_like(rows)
    for share, weights in zip(shares, guide.weights, strict=True):
        total.addcmul_(rows @ share, weights.flatten()[:, None].to(rows))
    return total


def content_loss(features: Tensor, target: Tensor) -> Tensor:
    """½ Σ (F − P)². Gatys et al., CVPR 2016, eq. 1. Both (N, C, H, W); a scalar, at least in float32."""
    return 0.5 * (_raised(features) - _raised(target)).square().sum()


def style_loss(gram: Tensor, target: Tensor) -> Tensor:
    """1/(4C²) Σ (G − A)² for one layer. Gatys et al., CVPR 2016, eq. 4, with matrices of `gram_matrix`.

    Both (N, C, C); a scalar.
    """
    channels = gram.shape[-1]
    return (gram - target).square().sum() / (4 * channels**2)


def relative_difference(value: Tensor, target: Tensor) -> Tensor:
    """Σ (V − T)² / Σ T²: 0 when equal, 1 when `value` is nothing at all; a scalar, at least in float32.

    The form of this project's default loss and of its score: applied to features it is the content term,
    applied to Gram matrices the style term, and either means the same on every network, layer and picture.
    """
    target = _raised(target)
    return (_raised(value) - target).square().sum() / target.square().sum().clamp_min(torch.finfo(torch.float32).tiny)


def total_variation(image: Tensor) -> Tensor:
    """Mean of squared differences between neighbours, down plus across. image: (N, C, H, W); a scalar.

    Mahendran & Vedaldi, CVPR 2015, eq. 7 with β = 2, as a mean so that the weight does not depend on the size.
    """
    down = (image[..., 1:, :] - image[..., :-1, :]).square().mean()
    across = (image[..., :, 1:] - image[..., :, :-1]).square().mean()
    return down + across


def temporal_loss(image: Tensor, warped: Tensor, confidence: Tensor) -> Tensor:
    """Mean over pixels of c·(x − ω(x'))². Ruder et al., GCPR 2016, eq. 7.

    image, warped: (N, 3, H, W), `warped` being the previous result moved along the flow;
    confidence: (N, 1, H, W) in [0, 1], 0 where something was hidden before. A scalar.
    """
    return (confidence * (image - warped).square()).mean()
