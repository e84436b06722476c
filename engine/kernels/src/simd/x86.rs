//! AVX-512, with and without its bf16 product, and AVX2.

// Which of the processor's functions are safe to call changes with the features of the function around them.
#![allow(unused_unsafe)]

#[allow(clippy::wildcard_imports)]
use std::arch::x86_64::*;
use std::mem::transmute;

use super::Simd;

/// The processor has AVX-512 (F, VL, DQ, BW) with products of bf16, AVX2, FMA and F16C.
#[derive(Clone, Copy)]
pub(crate) struct Avx512Bf16(());

/// The processor has AVX-512 (F, VL, DQ, BW), AVX2, FMA and F16C.
#[derive(Clone, Copy)]
pub(crate) struct Avx512(());

/// The processor has AVX2, FMA and F16C.
#[derive(Clone, Copy)]
pub(crate) struct Avx2(());

/// The ways to a token, which is the proof that the processor has the features.
macro_rules! token {
    ($($token:ident),*) => {$(
        #[allow(unsafe_code)]
        impl $token {
            /// # Safety
            /// The processor has the features that the type names.
            #[inline(always)]
            pub(super) unsafe fn assume() -> Self {
                Self(())
            }
        }
    )*};
}
token!(Avx512Bf16, Avx512, Avx2);

/// Functions of the processor that read and write registers, and no memory.
macro_rules! registers {
    ($($body:tt)*) => {{
        #[allow(unsafe_code)]
        // SAFETY: the functions ask for the features, and the token, which every method here takes, is the proof of them.
        unsafe { $($body)* }
    }};
}

/// What both kinds of AVX-512 do alike.
macro_rules! avx512 {
    () => {
        type Vector = __m512;
        const LANES: usize = 16;
        const PANEL: usize = 4;
        const ROWS: [usize; 5] = [0, 8, 8, 8, 6];

        #[inline(always)]
        fn splat(self, value: f32) -> __m512 {
            registers!(_mm512_set1_ps(value))
        }
        #[inline(always)]
        unsafe fn load(self, from: *const f32) -> __m512 {
            // SAFETY: the token is the proof of the features; the caller's promise is that the values can be read.
            unsafe { _mm512_loadu_ps(from) }
        }
        #[inline(always)]
        unsafe fn store(self, to: *mut f32, vector: __m512) {
            // SAFETY: the token is the proof of the features; the caller's promise is that the values can be written.
            unsafe {
                _mm512_storeu_ps(to, vector);
            }
        }
        #[inline(always)]
        fn add(self, a: __m512, b: __m512) -> __m512 {
            registers!(_mm512_add_ps(a, b))
        }
        #[inline(always)]
        fn sub(self, a: __m512, b: __m512) -> __m512 {
            registers!(_mm512_sub_ps(a, b))
        }
        #[inline(always)]
        fn mul(self, a: __m512, b: __m512) -> __m512 {
            registers!(_mm512_mul_ps(a, b))
        }
        #[inline(always)]
        fn div(self, a: __m512, b: __m512) -> __m512 {
            registers!(_mm512_div_ps(a, b))
        }
        #[inline(always)]
        fn max(self, a: __m512, b: __m512) -> __m512 {
            registers!(_mm512_max_ps(a, b))
        }
        #[inline(always)]
        fn min(self, a: __m512, b: __m512) -> __m512 {
            registers!(_mm512_min_ps(a, b))
        }
        #[inline(always)]
        fn mul_add(self, a: __m512, b: __m512, c: __m512) -> __m512 {
            registers!(_mm512_fmadd_ps(a, b, c))
        }
        #[inline(always)]
        fn sum(self, vector: __m512) -> f32 {
            registers!(_mm512_reduce_add_ps(vector))
        }
        #[inline(always)]
        fn maximum(self, vector: __m512) -> f32 {
            registers!(_mm512_reduce_max_ps(vector))
        }
        #[inline(always)]
        fn power_of_two(self, shifted: __m512) -> __m512 {
            registers! {
                // 127 − the bits of 1.5 · 2²³: what is left is the exponent.
                let bias = _mm512_set1_epi32(127 - 0x4b40_0000);
                let exponent = _mm512_add_epi32(_mm512_castps_si512(shifted), bias);
                _mm512_castsi512_ps(_mm512_slli_epi32::<23>(exponent))

            }
        }
        #[inline(always)]
        unsafe fn load_f16(self, from: *const u16) -> __m512 {
            // SAFETY: the token is the proof of the features; the caller's promise is that the values can be read.
            unsafe { _mm512_cvtph_ps(_mm256_loadu_si256(from.cast())) }
        }
        #[inline(always)]
        unsafe fn load_bf16(self, from: *const u16) -> __m512 {
            // SAFETY: the token is the proof of the features; the caller's promise is that the values can be read.
            unsafe {
                let words = _mm512_cvtepu16_epi32(_mm256_loadu_si256(from.cast()));
                _mm512_castsi512_ps(_mm512_slli_epi32::<16>(words))
            }
        }
        #[inline(always)]
        fn lower(self, words: __m512) -> __m512 {
            registers!(_mm512_castsi512_ps(_mm512_slli_epi32::<16>(_mm512_castps_si512(words))))
        }
        #[inline(always)]
        fn upper(self, words: __m512) -> __m512 {
            registers! {
                let mask = _mm512_set1_epi32(0xffff_0000_u32.cast_signed());
                _mm512_castsi512_ps(_mm512_and_si512(_mm512_castps_si512(words), mask))

            }
        }
    };
}

#[allow(unsafe_code)]
impl Simd for Avx512 {
    avx512!();

    #[inline(always)]
    unsafe fn store_bf16(self, to: *mut u16, vector: __m512) {
        // SAFETY: the token is the proof of the features; the caller's promise is that the values can be written.
        unsafe {
            let bits = _mm512_castps_si512(vector);
            let odd = _mm512_and_si512(_mm512_srli_epi32::<16>(bits), _mm512_set1_epi32(1));
            let rounded = _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff)));
            // Rounding could make an infinity of a NaN, which keeps a set bit instead.
            let not_a_number = _mm512_cmp_ps_mask::<_CMP_UNORD_Q>(vector, vector);
            let quiet = _mm512_or_si512(bits, _mm512_set1_epi32(0x0040_0000));
            let rounded = _mm512_mask_mov_epi32(rounded, not_a_number, quiet);
            _mm256_storeu_si256(to.cast(), _mm512_cvtepi32_epi16(_mm512_srli_epi32::<16>(rounded)));
        }
    }
}

#[allow(unsafe_code)]
impl Simd for Avx512Bf16 {
    avx512!();

    #[inline(always)]
    unsafe fn store_bf16(self, to: *mut u16, vector: __m512) {
        // SAFETY: the token is the proof of the features; the caller's promise is that the values can be written.
        unsafe { to.cast::<__m256bh>().write_unaligned(_mm512_cvtneps_pbh(vector)) }
    }
    #[inline(always)]
    fn dot_bf16(self, a: __m512, b: __m512, c: __m512) -> __m512 {
        // (Each vector holds 32 bf16 instead of 16 f32: the same bits.)
        registers!(_mm512_dpbf16_ps(c, transmute::<__m512, __m512bh>(a), transmute::<__m512, __m512bh>(b)))
    }
}

#[allow(unsafe_code)]
impl Simd for Avx2 {
    type Vector = __m256;
    const LANES: usize = 8;
    const PANEL: usize = 2;
    const ROWS: [usize; 5] = [0, 8, 6, 0, 0];

    #[inline(always)]
    fn splat(self, value: f32) -> __m256 {
        registers!(_mm256_set1_ps(value))
    }
    #[inline(always)]
    unsafe fn load(self, from: *const f32) -> __m256 {
        // SAFETY: the token is the proof of the features; the caller's promise is that the values can be read.
        unsafe { _mm256_loadu_ps(from) }
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32, vector: __m256) {
        // SAFETY: the token is the proof of the features; the caller's promise is that the values can be written.
        unsafe {
            _mm256_storeu_ps(to, vector);
        }
    }
    #[inline(always)]
    fn add(self, a: __m256, b: __m256) -> __m256 {
        registers!(_mm256_add_ps(a, b))
    }
    #[inline(always)]
    fn sub(self, a: __m256, b: __m256) -> __m256 {
        registers!(_mm256_sub_ps(a, b))
    }
    #[inline(always)]
    fn mul(self, a: __m256, b: __m256) -> __m256 {
        registers!(_mm256_mul_ps(a, b))
    }
    #[inline(always)]
    fn div(self, a: __m256, b: __m256) -> __m256 {
        registers!(_mm256_div_ps(a, b))
    }
    #[inline(always)]
    fn max(self, a: __m256, b: __m256) -> __m256 {
        registers!(_mm256_max_ps(a, b))
    }
    #[inline(always)]
    fn min(self, a: __m256, b: __m256) -> __m256 {
        registers!(_mm256_min_ps(a, b))
    }
    #[inline(always)]
    fn mul_add(self, a: __m256, b: __m256, c: __m256) -> __m256 {
        registers!(_mm256_fmadd_ps(a, b, c))
    }
    #[inline(always)]
    fn sum(self, vector: __m256) -> f32 {
        registers! {
            let four = _mm_add_ps(_mm256_castps256_ps128(vector), _mm256_extractf128_ps(vector, 1));
            let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
            _mm_cvtss_f32(_mm_add_ss(two, _mm_shuffle_ps(two, two, 1)))

        }
    }
    #[inline(always)]
    fn maximum(self, vector: __m256) -> f32 {
        registers! {
            let four = _mm_max_ps(_mm256_castps256_ps128(vector), _mm256_extractf128_ps(vector, 1));
            let two = _mm_max_ps(four, _mm_movehl_ps(four, four));
            _mm_cvtss_f32(_mm_max_ss(two, _mm_shuffle_ps(two, two, 1)))

        }
    }
    #[inline(always)]
    fn power_of_two(self, shifted: __m256) -> __m256 {
        registers! {
            // 127 − the bits of 1.5 · 2²³: what is left is the exponent.
            let bias = _mm256_set1_epi32(127 - 0x4b40_0000);
            let exponent = _mm256_add_epi32(_mm256_castps_si256(shifted), bias);
            _mm256_castsi256_ps(_mm256_slli_epi32::<23>(exponent))

        }
    }
    #[inline(always)]
    unsafe fn load_f16(self, from: *const u16) -> __m256 {
        // SAFETY: the token is the proof of the features; the caller's promise is that the values can be read.
        unsafe { _mm256_cvtph_ps(_mm_loadu_si128(from.cast())) }
    }
    #[inline(always)]
    unsafe fn load_bf16(self, from: *const u16) -> __m256 {
        // SAFETY: the token is the proof of the features; the caller's promise is that the values can be read.
        unsafe {
            let words = _mm256_cvtepu16_epi32(_mm_loadu_si128(from.cast()));
            _mm256_castsi256_ps(_mm256_slli_epi32::<16>(words))
        }
    }
    #[inline(always)]
    unsafe fn store_bf16(self, to: *mut u16, vector: __m256) {
        // SAFETY: the token is the proof of the features; the caller's promise is that the values can be written.
        unsafe {
            let bits = _mm256_castps_si256(vector);
            let odd = _mm256_and_si256(_mm256_srli_epi32::<16>(bits), _mm256_set1_epi32(1));
            let rounded = _mm256_add_epi32(bits, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff)));
            // Rounding could make an infinity of a NaN, which keeps a set bit instead.
            let not_a_number = _mm256_castps_si256(_mm256_cmp_ps::<_CMP_UNORD_Q>(vector, vector));
            let quiet = _mm256_or_si256(bits, _mm256_set1_epi32(0x0040_0000));
            let halves = _mm256_srli_epi32::<16>(_mm256_blendv_epi8(rounded, quiet, not_a_number));
            let packed = _mm256_packus_epi32(halves, halves);
            let packed = _mm256_permute4x64_epi64::<0b00_00_10_00>(packed);
            _mm_storeu_si128(to.cast(), _mm256_castsi256_si128(packed));
        }
    }
    #[inline(always)]
    fn lower(self, words: __m256) -> __m256 {
        registers!(_mm256_castsi256_ps(_mm256_slli_epi32::<16>(_mm256_castps_si256(words))))
    }
    #[inline(always)]
    fn upper(self, words: __m256) -> __m256 {
        registers! {
            let mask = _mm256_set1_epi32(0xffff_0000_u32.cast_signed());
            _mm256_castsi256_ps(_mm256_and_si256(_mm256_castps_si256(words), mask))

        }
    }
}
