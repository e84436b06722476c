//! The forms in which weights are packed, and the choice between two of them for bf16. Change here to pack weights in
//! another type.

use std::sync::OnceLock;

use candle_core::DType;

use crate::peak;

/// How this processor multiplies numbers of bf16. Which of the two it is changes the last bits of what comes out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bf16Products {
    /// Two at a time, by an instruction made for that.
    Pairs,
    /// Widened to f32.
    Widened,
}

/// How this processor multiplies numbers of bf16: in pairs if it multiplies them faster than f32 (having the instruction
/// says little). Measured at the first call, in two milliseconds, and the same from then on until the process ends.
pub fn bf16_products() -> Bf16Products {
    static CHOICE: OnceLock<Bf16Products> = OnceLock::new();
    *CHOICE.get_or_init(
        || {
            if peak::pairs_per_multiply_add() > 0.6 { Bf16Products::Pairs } else { Bf16Products::Widened }
        },
    )
}

/// How weights are packed, and so how a row's 32-bit words are multiplied with them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WeightFormat {
    /// f32 rows, f32 weights.
    F32,
    /// Both bf16, two values to a word.
    Bf16Pairs,
    /// f32 rows, weights kept as bf16.
    Bf16Weights,
    /// f32 rows, weights kept as f16.
    F16Weights,
}

#[cfg(test)]
thread_local! {
    /// Whether [`WeightFormat::bf16`] means pairs on this thread, whatever the processor likes better.
    pub(crate) static FORCED_PAIRS: std::cell::Cell<Option<bool>> = const { std::cell::Cell::new(None) };
}

impl WeightFormat {
    /// Suits rows and weights of bf16, by [`bf16_products`].
    pub(crate) fn bf16() -> Self {
        #[cfg(test)]
        if let Some(pairs) = FORCED_PAIRS.get() {
            return if pairs { Self::Bf16Pairs } else { Self::Bf16Weights };
        }
        match bf16_products() {
            Bf16Products::Pairs => Self::Bf16Pairs,
            Bf16Products::Widened => Self::Bf16Weights,
        }
    }

    /// Whether it holds every weight exactly that was given as this type.
    pub(crate) fn is_exact(self, given: DType) -> bool {
        match self {
            Self::F32 => true,
            Self::Bf16Pairs | Self::Bf16Weights => given == DType::BF16,
            Self::F16Weights => given == DType::F16,
        }
    }

    /// Values of a row in one word.
    pub(crate) fn values_per_word(self) -> usize {
        if self == Self::Bf16Pairs { 2 } else { 1 }
    }

    /// Bytes of the weights in one column that one word of a row is multiplied with.
    pub(crate) fn weight_bytes(self) -> usize {
        if matches!(self, Self::F16Weights | Self::Bf16Weights) { 2 } else { 4 }
    }
}
