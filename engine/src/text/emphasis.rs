//! What a weight does to the text encoder's output. A1111 multiplies a token's embedding and then brings the mean back;
//! ComfyUI moves it away from, or towards, that of an empty prompt.

/// The largest factor that brings a mean back. If the weights leave almost nothing of it, what would restore it is no
/// longer a scale but an accident of rounding.
const MOST_RESTORED: f64 = 1000.0;

/// Multiplies every token of a chunk (L, D) by its weight (A1111's "No norm").
pub fn multiply(embedding: &mut [f32], weights: &[f32]) {
    for (token, &weight) in rows(embedding, weights).zip(weights) {
        for value in token {
            *value *= weight;
        }
    }
}

/// The same, and then multiplies the whole chunk so that its mean is what it was (A1111's "Original").
pub fn multiply_and_restore_mean(embedding: &mut [f32], weights: &[f32]) {
    let before = sum(embedding);
    multiply(embedding, weights);
    let restored = before / sum(embedding);
    if restored.is_finite() {
        let factor = restored.clamp(-MOST_RESTORED, MOST_RESTORED) as f32;
        for value in embedding {
            *value *= factor;
        }
    }
}

/// Moves every token of a chunk (L, D) along the line from the empty prompt's token at its place (L, D): weight 0 is the
/// empty one, 1 leaves it (ComfyUI).
pub fn move_from_empty(embedding: &mut [f32], empty: &[f32], weights: &[f32]) {
    let width = width(empty.len(), weights);
    for ((token, empty), &weight) in rows(embedding, weights).zip(empty.chunks_exact(width)).zip(weights) {
        if weight.to_bits() != 1f32.to_bits() {
            for (value, empty) in token.iter_mut().zip(empty) {
                *value = (*value - empty) * weight + empty;
            }
        }
    }
}

fn rows<'a>(embedding: &'a mut [f32], weights: &[f32]) -> impl Iterator<Item = &'a mut [f32]> + use<'a> {
    let width = width(embedding.len(), weights);
    embedding.chunks_exact_mut(width)
}

fn width(values: usize, weights: &[f32]) -> usize {
    (values / weights.len().max(1)).max(1)
}

fn sum(values: &[f32]) -> f64 {
    values.iter().map(|&value| f64::from(value)).sum()
}

#[cfg(test)]
mod tests {
    use instaflow_test_support::{Tolerance, assert_close};

    use super::*;

    const TOLERANCE: Tolerance = Tolerance::absolute(1e-6);

    #[test]
    fn weights_act_on_whole_tokens() {
        let (values, weights) = ([1.0, 2.0, 3.0, 4.0, 5.0, 5.0], [1.0, 0.5, 2.0]);
        let mut multiplied = values;
        multiply(&mut multiplied, &weights);
        assert_close(multiplied, [1.0, 2.0, 1.5, 2.0, 10.0, 10.0], TOLERANCE);
        let mut restored = values;
        multiply_and_restore_mean(&mut restored, &weights);
        let factor = 20.0 / 26.5;
        assert_close(restored, multiplied.map(|value| value * factor), TOLERANCE);
        let mut moved = values;
        move_from_empty(&mut moved, &[1.0; 6], &weights);
        assert_close(moved, [1.0, 2.0, 2.0, 2.5, 9.0, 9.0], TOLERANCE);
    }

    #[test]
    fn a_mean_of_nothing_stays() {
        let mut nothing = [1.0, 2.0];
        multiply_and_restore_mean(&mut nothing, &[0.0]);
        assert_eq!(nothing.map(f32::to_bits), [0, 0]);
    }
}
