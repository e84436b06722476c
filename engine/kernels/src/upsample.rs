//! The gradient of nearest-neighbour upsampling by two, which convolutions do on the way.

/// Adds up the four pixels of (B, 2H, 2W, C) that each pixel of (B, H, W, C) became.
pub(crate) fn fold(dy: &[f32], (batch, height, width, channels): (usize, usize, usize, usize)) -> Vec<f32> {
    let mut dx = vec![0.0f32; batch * height * width * channels];
    let line = width * channels;
    for (rows, out) in dy.chunks_exact(4 * line).zip(dx.chunks_exact_mut(line)) {
        for row in rows.chunks_exact(2 * line) {
            for (pair, out) in row.chunks_exact(2 * channels).zip(out.chunks_exact_mut(channels)) {
                let (left, right) = pair.split_at(channels);
                for ((out, left), right) in out.iter_mut().zip(left).zip(right) {
                    *out += left + right;
                }
            }
        }
    }
    dx
}
