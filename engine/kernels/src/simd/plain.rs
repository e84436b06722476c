//! Arrays of four, which compilers map to the vectors that every 64-bit processor has (SSE2, NEON).

use super::Simd;

#[derive(Clone, Copy)]
pub(crate) struct Plain;

type Four = [f32; 4];

#[inline(always)]
fn each(f: impl Fn(usize) -> f32) -> Four {
    [f(0), f(1), f(2), f(3)]
}

#[allow(unsafe_code)]
impl Simd for Plain {
    type Vector = Four;
    const LANES: usize = 4;
    const PANEL: usize = 2;
    const ROWS: [usize; 5] = [0, 4, 4, 0, 0];

    #[inline(always)]
    fn splat(self, value: f32) -> Four {
        [value; 4]
    }
    #[inline(always)]
    unsafe fn load(self, from: *const f32) -> Four {
        // SAFETY: the caller's promise is that the values can be read.
        unsafe { from.cast::<Four>().read_unaligned() }
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32, vector: Four) {
        // SAFETY: the caller's promise is that the values can be written.
        unsafe { to.cast::<Four>().write_unaligned(vector) }
    }
    #[inline(always)]
    fn add(self, a: Four, b: Four) -> Four {
        each(|i| a[i] + b[i])
    }
    #[inline(always)]
    fn sub(self, a: Four, b: Four) -> Four {
        each(|i| a[i] - b[i])
    }
    #[inline(always)]
    fn mul(self, a: Four, b: Four) -> Four {
        each(|i| a[i] * b[i])
    }
    #[inline(always)]
    fn div(self, a: Four, b: Four) -> Four {
        each(|i| a[i] / b[i])
    }
    #[inline(always)]
    fn max(self, a: Four, b: Four) -> Four {
        each(|i| if a[i] > b[i] { a[i] } else { b[i] })
    }
    #[inline(always)]
    fn min(self, a: Four, b: Four) -> Four {
        each(|i| if a[i] < b[i] { a[i] } else { b[i] })
    }
    #[inline(always)]
    fn mul_add(self, a: Four, b: Four, c: Four) -> Four {
        // One instruction on ARM; elsewhere `f32::mul_add` may be a slow function call.
        each(|i| if cfg!(target_arch = "aarch64") { a[i].mul_add(b[i], c[i]) } else { a[i] * b[i] + c[i] })
    }
    #[inline(always)]
    fn sum(self, vector: Four) -> f32 {
        (vector[0] + vector[2]) + (vector[1] + vector[3])
    }
    #[inline(always)]
    fn maximum(self, vector: Four) -> f32 {
        vector[0].max(vector[2]).max(vector[1].max(vector[3]))
    }
    #[inline(always)]
    fn power_of_two(self, shifted: Four) -> Four {
        each(|i| f32::from_bits(shifted[i].to_bits().wrapping_sub(0x4b40_0000).wrapping_add(127) << 23))
    }
    #[inline(always)]
    unsafe fn load_f16(self, from: *const u16) -> Four {
        // SAFETY: the caller's promise is that the values can be read.
        let halves = unsafe { from.cast::<[u16; 4]>().read_unaligned() };
        each(|i| half::f16::from_bits(halves[i]).to_f32())
    }
    #[inline(always)]
    unsafe fn load_bf16(self, from: *const u16) -> Four {
        // SAFETY: the caller's promise is that the values can be read.
        let halves = unsafe { from.cast::<[u16; 4]>().read_unaligned() };
        each(|i| f32::from_bits(u32::from(halves[i]) << 16))
    }
    #[inline(always)]
    unsafe fn store_bf16(self, to: *mut u16, vector: Four) {
        let halves = vector.map(|value| half::bf16::from_f32(value).to_bits());
        // SAFETY: the caller's promise is that the values can be written.
        unsafe { to.cast::<[u16; 4]>().write_unaligned(halves) }
    }
    #[inline(always)]
    fn lower(self, words: Four) -> Four {
        words.map(|word| f32::from_bits(word.to_bits() << 16))
    }
    #[inline(always)]
    fn upper(self, words: Four) -> Four {
        words.map(|word| f32::from_bits(word.to_bits() & 0xffff_0000))
    }
}
