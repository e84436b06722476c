//! Latents by the ten thousand: computed once, kept in files of a few hundred, so that a stopped run loses little.

use std::ops::Range;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use candle_core::{DType, Device, Tensor};

use crate::files::{self, Metadata};
use crate::parameters::Tensors;
use crate::progress::Progress;
use crate::training::Limits;
use crate::workers::Workers;

/// Latents in memory, f32, row after row.
pub struct Latents {
    values: Vec<f32>,
    shape: [usize; 3],
}

impl Latents {
    /// How many there are.
    pub fn count(&self) -> usize {
        self.values.len() / self.shape.iter().product::<usize>()
    }

    /// Rows by their number: (B, C, h, w).
    pub fn rows(&self, rows: &[usize]) -> Result<Tensor> {
        let [c, h, w] = self.shape;
        let size = c * h * w;
        let values: Vec<f32> =
            rows.iter().flat_map(|&row| &self.values[row * size..(row + 1) * size]).copied().collect();
        Ok(Tensor::from_vec(values, (rows.len(), c, h, w), &Device::Cpu)?)
    }
}

/// Rows of one file.
const ROWS: usize = 256;
/// Rows that one worker computes at once.
const PART: usize = 16;

/// Makes what is missing of `count` rows (rounded up to whole files): `make` gives the rows of a range, (B, C, h, w).
/// `origin` says what they come from; files of another origin are refused. False where a limit ended it early.
pub fn fill(
    folder: &Path,
    count: usize,
    origin: &Metadata,
    workers: &Workers,
    limits: &Limits,
    make: impl Fn(Range<usize>) -> Result<Tensor> + Sync,
) -> Result<bool> {
    let files = count.div_ceil(ROWS);
    let missing: Vec<usize> = (0..files).filter(|&index| !path(folder, index).exists()).collect();
    if missing.len() < files {
        check_origin(folder, origin)?;
    }
    let name = folder.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let done = files - missing.len();
    let mut progress = Progress::new(&name, done as u64, files as u64, ROWS);
    for (index, file) in missing.into_iter().enumerate() {
        if limits.reached() {
            eprintln!("{name}: stopped early; the same command goes on from here");
            return Ok(false);
        }
        let parts = (file * ROWS..(file + 1) * ROWS).step_by(PART).map(|start| start..start + PART).collect();
        let rows = Tensor::cat(&workers.map(parts, &make)?, 0)?.to_dtype(DType::F16)?;
        files::write_tensors(&path(folder, file), &Tensors::from([("latents".to_owned(), rows)]), origin.clone())?;
        progress.count((done + index + 1) as u64);
    }
    Ok(true)
}

/// Reads the rows that are there, at most `limit`, and says what they come from.
pub fn read(folder: &Path, limit: usize) -> Result<(Latents, Metadata)> {
    let (mut values, mut shape, mut origin) = (Vec::new(), [1; 3], None);
    for index in 0..limit.div_ceil(ROWS) {
        let path = path(folder, index);
        let Some((tensors, metadata)) = files::read_tensors(&path)? else { break };
        let rows = tensors.get("latents").with_context(|| format!("{} holds no latents", path.display()))?;
        let (_, c, h, w) =
            rows.dims4().with_context(|| format!("{} holds latents of a wrong shape", path.display()))?;
        shape = [c, h, w];
        values.extend(rows.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>()?);
        origin = Some(metadata);
    }
    let origin = origin.with_context(|| format!("there is nothing in {} yet: make it first", folder.display()))?;
    Ok((Latents { values, shape }, origin))
}

fn check_origin(folder: &Path, origin: &Metadata) -> Result<()> {
    let found = read(folder, 1)?.1;
    ensure!(
        found == *origin,
        "{} was made otherwise ({found:?}, now {origin:?}): remove the folder to make it anew",
        folder.display()
    );
    Ok(())
}

fn path(folder: &Path, index: usize) -> PathBuf {
    folder.join(format!("{index:05}.safetensors"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, Instant};

    fn make(range: Range<usize>) -> Result<Tensor> {
        let values: Vec<f32> = range.clone().flat_map(|row| [row as f32, -(row as f32)]).collect();
        Ok(Tensor::from_vec(values, (range.len(), 2, 1, 1), &Device::Cpu)?)
    }

    #[test]
    fn what_is_missing_is_made_and_what_is_there_is_kept() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let folder = folder.path().join("latents");
        let limits = |deadline| Limits { deadline, checkpoint_every: Duration::ZERO, stop_file: folder.join("stop") };
        let workers = Workers::new(2)?;
        let origin = Metadata::from([("from".to_owned(), "a".to_owned())]);
        assert!(!fill(&folder, 300, &origin, &workers, &limits(Some(Instant::now())), make)?);
        assert!(read(&folder, 300).is_err(), "nothing was made in no time");
        assert!(fill(&folder, 100, &origin, &workers, &limits(None), make)?);
        let only_new = |range: Range<usize>| if range.start < ROWS { anyhow::bail!("made twice") } else { make(range) };
        assert!(fill(&folder, 300, &origin, &workers, &limits(None), only_new)?);
        let (latents, found) = read(&folder, usize::MAX)?;
        assert_eq!((latents.count(), &found), (512, &origin));
        assert_eq!(latents.rows(&[300, 2])?.flatten_all()?.to_vec1::<f32>()?, [300.0, -300.0, 2.0, -2.0]);
        let other = Metadata::from([("from".to_owned(), "b".to_owned())]);
        assert!(fill(&folder, 600, &other, &workers, &limits(None), make).is_err());
        Ok(())
    }
}
