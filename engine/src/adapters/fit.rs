//! Whether what a file holds for a layer fits it: from shapes alone, before anything is computed, so that no product of
//! hostile sizes is ever tried. What is allocated later is bounded by what is checked here.

use super::file::{Adapter, Module, Part};

/// Most columns of a factor. A layer's own least side is enough for any difference: 1280 in Stable Diffusion.
const MOST_RANK: usize = 4096;

/// Which tensor of a layer is changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Of {
    Weight,
    Bias,
}

impl Of {
    /// What the tensor's name ends with.
    pub fn name(self) -> &'static str {
        match self {
            Self::Weight => "weight",
            Self::Bias => "bias",
        }
    }

    /// Which tensor a part of a module is for.
    pub fn part(part: Part) -> Self {
        if matches!(part, Part::DiffBias | Part::NormBias) { Self::Bias } else { Self::Weight }
    }
}

/// Why something does not fit.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Misfit {
    /// It is for weights of another shape.
    Shape,
    /// A tensor is missing that belongs to the others.
    Incomplete,
    /// Its rank is out of bounds.
    Rank(usize),
}

/// A shape as a matrix: its first side, and the product of the others.
type Matrix = (usize, usize);

fn matrix(shape: &[usize]) -> Matrix {
    // No overflow: a file's shapes fit its bytes.
    (shape.first().copied().unwrap_or(1), shape.iter().skip(1).product())
}

/// Checks what a module does to a tensor (O), (O, I) or (O, I, k, k).
pub(super) fn check(adapter: &Adapter, module: &Module, of: Of, base: &[usize]) -> Result<(), Misfit> {
    Fit { adapter, module, base }.check(of)
}

struct Fit<'a> {
    adapter: &'a Adapter,
    module: &'a Module,
    base: &'a [usize],
}

impl Fit<'_> {
    fn shape(&self, part: Part) -> Option<&[usize]> {
        self.adapter.shape(self.module, part)
    }

    fn matrix(&self, part: Part) -> Option<Matrix> {
        self.shape(part).map(matrix)
    }

    fn need(&self, part: Part) -> Result<Matrix, Misfit> {
        self.matrix(part).ok_or(Misfit::Incomplete)
    }

    /// (O, everything else)
    fn whole(&self) -> Matrix {
        matrix(self.base)
    }

    fn inputs(&self) -> usize {
        self.base.get(1).copied().unwrap_or(1)
    }

    /// Pixels of a kernel.
    fn taps(&self) -> usize {
        self.base.iter().skip(2).product()
    }

    fn check(&self, of: Of) -> Result<(), Misfit> {
        if of == Of::Bias {
            let bias = [Part::DiffBias, Part::NormBias].into_iter().find_map(|part| self.matrix(part));
            return fits(bias.is_some_and(|(rows, rest)| rows * rest == self.whole().0));
        }
        if self.shape(Part::Alpha).is_some_and(|alpha| alpha.iter().product::<usize>() != 1) {
            return Err(Misfit::Shape);
        }
        if let Some(norm) = self.matrix(Part::Norm) {
            return fits(self.base.len() == 1 && norm.0 * norm.1 == self.base[0]);
        }
        if self.base.len() < 2 {
            return Err(Misfit::Shape);
        }
        self.magnitudes()?;
        if let Some(diff) = self.matrix(Part::Diff) {
            return fits(diff == self.whole());
        }
        if let Some(factors) = self.matrix(Part::Ia3) {
            let side = if self.adapter.is_zero(self.module, Part::OnInput) { self.base[0] } else { self.inputs() };
            return fits(factors.0 * factors.1 == side);
        }
        if self.shape(Part::GloraA1).is_some() {
            return self.glora();
        }
        if let Some(up) = self.matrix(Part::Up) {
            return self.factored(Part::Mid, up, self.need(Part::Down)?);
        }
        if let Some(first) = self.matrix(Part::Hada1A) {
            self.hadamard(first, self.need(Part::Hada1B)?, Part::HadaT1)?;
            let second = self.need(Part::Hada2A)?;
            return self.hadamard(second, self.need(Part::Hada2B)?, Part::HadaT2);
        }
        self.kronecker()
    }

    /// DoRA's lengths of rows or of columns.
    fn magnitudes(&self) -> Result<(), Misfit> {
        let sides = [self.base[0], self.inputs()];
        let count = |part| self.shape(part).map(|shape| shape.iter().product::<usize>());
        fits(count(Part::Magnitude).is_none_or(|count| count == sides[0]))?;
        fits(count(Part::DoraScale).is_none_or(|count| sides.contains(&count)))
    }

    /// (O, r)·(r, I·k·k), or with a core (r, s, k, k) between (O, r) and (s, I).
    fn factored(&self, mid: Part, (rows, rank): Matrix, (down, columns): Matrix) -> Result<(), Misfit> {
        let fitting = match self.shape(mid) {
            Some([m, n, kernel @ ..]) => {
                fits(*m == rank && *n == down)?;
                ranked(down)?;
                (rows, columns, kernel.iter().product::<usize>()) == (self.base[0], self.inputs(), self.taps())
            }
            Some(_) => false,
            None => rank == down && (rows, columns) == self.whole(),
        };
        ranked(rank)?;
        fits(fitting)
    }

    /// (O, r)·(r, I·k·k), or with a core (i, j, k, k) and factors (i, O) and (j, I).
    fn hadamard(&self, a: Matrix, b: Matrix, core: Part) -> Result<(), Misfit> {
        ranked(b.0)?;
        match self.shape(core) {
            Some([i, j, kernel @ ..]) => {
                ranked(*i)?;
                let kernel: usize = kernel.iter().product();
                fits(a == (*i, self.base[0]) && b == (*j, self.inputs()) && kernel == self.taps())
            }
            Some(_) => Err(Misfit::Shape),
            None => fits(a.1 == b.0 && (a.0, b.1) == self.whole()),
        }
    }

    /// (a, b) ⊗ (c, d·k·k), each whole or of two factors.
    fn kronecker(&self) -> Result<(), Misfit> {
        let product = |a: Matrix, b: Matrix| {
            ranked(b.0)?;
            fits(a.1 == b.0)?;
            Ok((a.0, b.1))
        };
        let one = match (self.matrix(Part::Lokr1), self.matrix(Part::Lokr1A)) {
            (Some(whole), _) => whole,
            (None, Some(a)) => product(a, self.need(Part::Lokr1B)?)?,
            (None, None) => return Err(Misfit::Incomplete),
        };
        let two = match (self.matrix(Part::Lokr2), self.matrix(Part::Lokr2A), self.shape(Part::LokrT2)) {
            (Some(whole), _, _) => whole,
            (None, Some(a), Some([i, j, kernel @ ..])) => {
                let b = self.need(Part::Lokr2B)?;
                ranked(*i)?;
                ranked(*j)?;
                let kernel: usize = kernel.iter().product();
                fits(a.0 == *i && b.0 == *j && kernel == self.taps())?;
                (a.1, b.1.checked_mul(kernel).ok_or(Misfit::Shape)?)
            }
            (None, Some(a), None) => product(a, self.need(Part::Lokr2B)?)?,
            _ => return Err(Misfit::Incomplete),
        };
        let (rows, columns) = self.whole();
        fits(two.1.is_multiple_of(self.taps().max(1)))?;
        fits(one.0.checked_mul(two.0) == Some(rows) && one.1.checked_mul(two.1) == Some(columns))
    }

    /// (I, r)·(r, I) and (O, s)·(s, I·k·k), or each pair the other way round, as LyCORIS' first versions had them.
    fn glora(&self) -> Result<(), Misfit> {
        let [a1, a2] = [self.need(Part::GloraA1)?, self.need(Part::GloraA2)?];
        let [b1, b2] = [self.need(Part::GloraB1)?, self.need(Part::GloraB2)?];
        let inputs = self.inputs();
        let fitting = |(a1, a2, b1, b2): (Matrix, Matrix, Matrix, Matrix)| {
            ranked(a2.0)?;
            fits(a1 == (inputs, a2.0) && a2.1 == inputs)?;
            self.factored(Part::GloraMid, b1, b2)
        };
        fitting((a1, a2, b1, b2)).or_else(|misfit| fitting((a2, a1, b2, b1)).map_err(|_| misfit))
    }
}

/// Whether GLoRA's pairs are in the order of LyCORIS' first versions.
pub(super) fn is_old_glora(adapter: &Adapter, module: &Module, base: &[usize]) -> bool {
    let inputs = base.get(1).copied().unwrap_or(1);
    let b1 = adapter.shape(module, Part::GloraB1).map(matrix);
    let a1 = adapter.shape(module, Part::GloraA1).map(matrix);
    // A rank that equals a side leaves both readings; the present one goes first.
    a1.is_none_or(|a1| a1.0 != inputs) || b1.is_none_or(|b1| Some(&b1.0) != base.first())
}

fn fits(fits: bool) -> Result<(), Misfit> {
    if fits { Ok(()) } else { Err(Misfit::Shape) }
}

fn ranked(rank: usize) -> Result<(), Misfit> {
    if (1..=MOST_RANK).contains(&rank) { Ok(()) } else { Err(Misfit::Rank(rank)) }
}

impl Misfit {
    /// What is wrong with a file's key, as a sentence whose subject, the file, is left out. `foreign` says for which models
    /// file and model are.
    pub fn sentence(&self, key: &str, base: &[usize], foreign: &str) -> String {
        match self {
            Self::Shape => {
                format!("{foreign}: what it has under {key} does not fit the layer, whose weights are {base:?}")
            }
            Self::Incomplete => {
                format!("is incomplete: under {key} it lacks a tensor that belongs to the others; fetch it again")
            }
            Self::Rank(0) => format!("holds nothing under {key}: fetch it again"),
            Self::Rank(rank) => {
                format!("has rank {rank} under {key}, but at most {MOST_RANK} is supported: use a smaller one")
            }
        }
    }
}
