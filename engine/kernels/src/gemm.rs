//! Matrix product on slices, through the crate `gemm` (which picks AVX-512, AVX2, NEON or plain code at run time).

/// A matrix in a slice: row `r`, column `c` lies at `r * row + c * col`.
#[derive(Clone, Copy)]
pub(crate) struct Matrix<'a> {
    pub data: &'a [f32],
    pub row: usize,
    pub col: usize,
}

impl<'a> Matrix<'a> {
    /// Row-major, `columns` wide.
    pub(crate) fn rows(data: &'a [f32], columns: usize) -> Self {
        Self { data, row: columns, col: 1 }
    }

    /// The same numbers, rows and columns exchanged.
    pub(crate) fn transposed(self) -> Self {
        Self { row: self.col, col: self.row, ..self }
    }
}

/// `out = [out +] alpha · a · b` with `a` (m, k), `b` (k, n) and `out` (m, n) with rows `out_row` apart, on this thread.
#[allow(unsafe_code)]
pub(crate) fn gemm(
    (m, n, k): (usize, usize, usize),
    out: &mut [f32],
    out_row: usize,
    add: bool,
    alpha: f32,
    a: Matrix<'_>,
    b: Matrix<'_>,
) {
    if m == 0 || n == 0 {
        return;
    }
    let last = |rows: usize, columns: usize, row: usize, col: usize| (rows - 1) * row + (columns - 1) * col;
    assert!(last(m, n, out_row, 1) < out.len(), "the product does not fit its target");
    assert!(
        k == 0 || (last(m, k, a.row, a.col) < a.data.len() && last(k, n, b.row, b.col) < b.data.len()),
        "a factor is shorter than its shape"
    );
    // SAFETY: every index that the shapes and strides reach was checked against the slices above.
    unsafe {
        ::gemm::gemm(
            m,
            n,
            k,
            out.as_mut_ptr(),
            1,
            out_row as isize,
            add,
            a.data.as_ptr(),
            a.col as isize,
            a.row as isize,
            b.data.as_ptr(),
            b.col as isize,
            b.row as isize,
            1.0,
            alpha,
            false,
            false,
            false,
            ::gemm::Parallelism::None,
        );
    }
}
