//! The methods of convolution, and the choice between them. It depends on the shape of the image and the type of its
//! numbers, and on nothing else. Change here which method is chosen when, after measuring.

use super::geometry::Geometry;
use super::winograd::{self, Tile};
use super::{direct, narrow_output};
use crate::element::Element;
use crate::packed_gemm::{Activation, Epilogue, Packed, ReadRow, RowsFor, Target, WeightFormat, with_rows_for};
use crate::weights;

/// How a convolution without a graph is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// As one product.
    Direct,
    /// On tiles of 2 × 2 results.
    WinogradF2,
    /// On tiles of 4 × 4 results.
    WinogradF4,
}

/// How weights are laid out and multiplied: a [`Method`] in one arithmetic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Algorithm {
    Direct(WeightFormat),
    NarrowOutput(WeightFormat),
    Winograd(Tile, WeightFormat),
}

/// Weights laid out for an [`Algorithm`].
#[derive(Debug)]
pub(super) enum Form {
    Direct(Packed),
    NarrowOutput(narrow_output::Weights),
    Winograd(Tile, Packed),
}

impl weights::Form for Form {
    fn as_packed(&self) -> Option<&Packed> {
        match self {
            Self::Direct(packed) => Some(packed),
            Self::NarrowOutput(_) | Self::Winograd(..) => None,
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Direct(packed) | Self::Winograd(_, packed) => packed.bytes(),
            Self::NarrowOutput(weights) => weights.bytes(),
        }
    }
}

impl Algorithm {
    pub(super) fn new(g: &Geometry, method: Method, bf16: bool) -> Self {
        let tiles = |tile: Tile| {
            let format = match tile {
                _ if !bf16 => WeightFormat::F32,
                // Rounding transformed tiles costs 0.4 % of the results' root mean square, and would cost 1.1 % with the
                // larger tile; rounding results costs 0.1 %.
                Tile::Two if WeightFormat::bf16() == WeightFormat::Bf16Pairs && g.channels.is_multiple_of(2) => {
                    WeightFormat::Bf16Pairs
                }
                // f16 keeps transformed weights closer than bf16 keeps plain ones, in half the memory of f32.
                _ => WeightFormat::F16Weights,
            };
            Self::Winograd(tile, format)
        };
        match method {
            Method::WinogradF2 => tiles(Tile::Two),
            Method::WinogradF4 => tiles(Tile::Four),
            Method::Direct => {
                let format = if bf16 { WeightFormat::bf16() } else { WeightFormat::F32 };
                if narrow_output::fits(g, format) { Self::NarrowOutput(format) } else { Self::Direct(format) }
            }
        }
    }
}

impl Algorithm {
    /// How its weights are packed, and about how many bytes they take: a panel's last columns may be padding.
    pub(super) fn packed(self, g: &Geometry) -> (WeightFormat, usize) {
        let (format, values) = match self {
            Self::Direct(format) | Self::NarrowOutput(format) => (format, g.taps()),
            Self::Winograd(tile, format) => (format, tile.values()),
        };
        let bytes = if format == WeightFormat::F32 { 4 } else { 2 };
        (format, values * g.channels * g.out_channels * bytes)
    }
}

impl Form {
    pub(super) fn pack(algorithm: Algorithm, g: &Geometry, read: ReadRow<'_>) -> Self {
        match algorithm {
            Algorithm::Winograd(tile, format) => {
                Self::Winograd(tile, winograd::pack(tile, format, (g.out_channels, g.channels), read))
            }
            Algorithm::NarrowOutput(format) => Self::NarrowOutput(narrow_output::pack(g, format, read)),
            Algorithm::Direct(format) => {
                let (kh, kw) = g.kernel;
                Self::Direct(direct::pack(format, (g.out_channels, g.channels, kh, kw), read))
            }
        }
    }
}

/// Whether tiles pay, and of which size. Measured (`cargo bench -p instaflow-kernels`): the transforms want channels to
/// spread over, and the transformed weights, up to four times as many, want tiles to be read for. 16-bit weights are asked
/// for to save memory: large ones grow only where it pays most.
pub(super) fn best_method(g: &Geometry, bf16: bool) -> Method {
    let tiles = |side: usize| g.batch * g.out_height.div_ceil(side) * g.out_width.div_ceil(side);
    let weights = g.channels * g.out_channels;
    if g.kernel != (3, 3) || g.stride != 1 || g.channels < 16 || g.out_channels < 16 {
        Method::Direct
    } else if bf16 && weights > SMALL && tiles(4) < 1024 && WeightFormat::bf16() == WeightFormat::Bf16Pairs {
        // Pairs are the fastest on tiles of 2 × 2. Larger maps, those of decoders, whose errors are seen in the picture,
        // take the closer way below, which costs a tenth there.
        if tiles(2) >= 64 { Method::WinogradF2 } else { Method::Direct }
    } else if tiles(4) >= if bf16 && weights > SMALL { 256 } else { 64 } {
        Method::WinogradF4
    } else if tiles(2) >= if bf16 { 256 } else { 64 } || tiles(2) >= 16 && weights <= SMALL {
        Method::WinogradF2
    } else {
        Method::Direct
    }
}

/// Weights of one tap that stay in the cache, transformed.
const SMALL: usize = 128 * 128;

/// Convolves `x` (B, H, W, C).
pub(super) fn run<E: Element>(g: &Geometry, form: &Form, x: &[E], epilogue: &Epilogue<'_, E>) {
    match form {
        Form::NarrowOutput(weights) => narrow_output::forward(g, weights, x, epilogue),
        Form::Winograd(tile, weights) => winograd::forward(*tile, g, weights, x, epilogue),
        Form::Direct(weights) => with_rows_for(weights, g.is_pointwise(), x, |rows| match rows {
            RowsFor::Given(x) => direct::forward(g, weights, x, epilogue),
            RowsFor::Wide(x) => direct::forward(g, weights, x, epilogue),
            RowsFor::Even(x) => {
                direct::forward(&Geometry { channels: g.channels + 1, ..*g }, weights, x, epilogue);
            }
        }),
    }
}

/// The plain convolution of slices, weights (O, C, kh, kw) packed on the way.
pub(super) fn forward(g: &Geometry, x: &[f32], weight: &[f32], bias: Option<&[f32]>) -> Vec<f32> {
    let algorithm = Algorithm::new(g, best_method(g, false), false);
    let form = Form::pack(algorithm, g, &|row, to| to.copy_from_slice(&weight[row * to.len()..][..to.len()]));
    let len = g.out_shape().elem_count();
    let mut out = Vec::new();
    let epilogue = Epilogue {
        bias,
        channel_bias: None,
        rows_per_sample: 1,
        residual: None,
        activation: Activation::None,
        columns: g.out_channels,
        out: Target::new(&mut out, len),
    };
    run(g, &form, x, &epilogue);
    #[allow(unsafe_code)]
    // SAFETY: room for as many values was reserved, and every one of them was written.
    unsafe {
        out.set_len(len);
    }
    out
}
