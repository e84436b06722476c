//! Latents by the ten thousand: computed once, kept in files of a few hundred rows. A file is there or it is not: a
//! stopped run loses little, any number of machines can each make their share, and what they made is merged by putting
//! the files into one folder. Change here how rows are kept; what they are is the stages' business.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Context, Result, bail, ensure};
use candle_core::{DType, Device, Tensor};

use crate::file_io::{self, Metadata, TensorFile};
use crate::parameters::Tensors;
use crate::progress_log::Progress;
use crate::training::Limits;
use crate::workers::Workers;

/// What rows come from: everything that decides their values.
pub type Origin = BTreeMap<String, String>;

/// One share of the files among several that are made independently: `i/n`, i from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    index: usize,
    count: usize,
}

impl Shard {
    /// Everything.
    pub const WHOLE: Self = Self { index: 0, count: 1 };

    fn has(self, file: usize) -> bool {
        file % self.count == self.index
    }
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parse = || -> Option<Self> {
            let (index, count) = text.split_once('/')?;
            let (index, count) = (index.parse::<usize>().ok()?, count.parse().ok()?);
            (1..=count).contains(&index).then(|| Self { index: index - 1, count })
        };
        parse().ok_or_else(|| format!("{text:?} is no share: the second of three is 2/3"))
    }
}

/// Rows of tensors in memory, in the type that they were kept in; numbered, since not all of them need to be there.
pub struct Rows {
    files: Vec<Tensors>,
    numbers: Vec<usize>,
}

impl Rows {
    /// How many there are.
    pub fn count(&self) -> usize {
        self.numbers.len()
    }

    /// The number that the row at `place` (0 … [`Self::count`] − 1) was made under.
    pub fn number(&self, place: usize) -> usize {
        self.numbers[place]
    }

    /// A tensor's rows at these places, f32: (B, …).
    pub fn tensor(&self, name: &str, places: &[usize], device: &Device) -> Result<Tensor> {
        let row = |&place: &usize| -> Result<Tensor> {
            let tensor = self.files[place / ROWS].get(name).with_context(|| format!("the rows have no {name}"))?;
            Ok(tensor.narrow(0, place % ROWS, 1)?)
        };
        let rows: Vec<Tensor> = places.iter().map(row).collect::<Result<_>>()?;
        Ok(Tensor::cat(&rows, 0)?.to_device(device)?.to_dtype(DType::F32)?)
    }

    /// Latents at these places: (B, C, h, w).
    pub fn latents(&self, places: &[usize], device: &Device) -> Result<Tensor> {
        self.tensor(LATENTS, places, device)
    }
}

/// The tensor that all rows have.
pub const LATENTS: &str = "latents";

/// Rows of one file; the last one holds what is left.
pub const ROWS: usize = 256;

/// Makes what is missing of a shard's share of `count` rows, `part` of them at once on a worker: `make` gives the tensors
/// of a range of rows, always as many; what it makes beyond the last row is dropped. A last file that held fewer than are
/// asked for now is made anew. `origin` says what they come from; files of another origin are refused. False where a limit
/// ended it early.
pub fn fill(
    folder: &Path,
    count: usize,
    shard: Shard,
    part: usize,
    origin: &Origin,
    workers: &Workers,
    limits: &Limits,
    make: impl Fn(Range<usize>) -> Result<Tensors> + Sync,
) -> Result<bool> {
    let ours: Vec<usize> = (0..count.div_ceil(ROWS)).filter(|&index| shard.has(index)).collect();
    check_origin(folder, origin)?;
    let rows_of = |file: usize| file * ROWS..((file + 1) * ROWS).min(count);
    let mut missing = Vec::new();
    for &file in &ours {
        if kept(folder, file)? < rows_of(file).len() {
            missing.push(file);
        }
    }
    let name = folder.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let done = ours.len() - missing.len();
    let mut progress = Progress::new(&name, done as u64, ours.len() as u64, ROWS);
    for (index, file) in missing.into_iter().enumerate() {
        if limits.reached() {
            eprintln!("{name}: stopped early; the same command goes on from here");
            return Ok(false);
        }
        let (rows, part) = (rows_of(file), part.max(1));
        // Whole parts, also at the end: networks choose their algorithms by the size of a batch.
        let parts = rows.clone().step_by(part).map(|start| start..start + part).collect();
        let rows = joined(&workers.map(parts, &make)?, rows.len())?;
        file_io::write_tensors(&path(folder, file), file_io::saved(&rows), metadata(origin)?)?;
        progress.count((done + index + 1) as u64);
    }
    Ok(true)
}

/// Reads the rows that are there, at most `limit`, and says what they come from.
pub fn read(folder: &Path, limit: usize) -> Result<(Rows, Origin)> {
    let (mut rows, mut origin): (Rows, Option<Origin>) = (Rows { files: Vec::new(), numbers: Vec::new() }, None);
    for index in listed(folder)?.into_iter().take(limit.div_ceil(ROWS)) {
        let path = path(folder, index);
        let Some(file) = TensorFile::open(&path)? else { continue };
        let tensors = file.below("")?;
        let held = file.rows(LATENTS);
        ensure!(
            (1..=ROWS).contains(&held) && tensors.values().all(|tensor| tensor.dims().first() == Some(&held)),
            "{} does not hold rows: remove it, and make it again",
            path.display()
        );
        let found = origin_of(&file)?;
        ensure!(
            *origin.get_or_insert_with(|| found.clone()) == found,
            "{} was made otherwise than the files before it: keep files of one origin in a folder",
            path.display()
        );
        ensure!(
            rows.numbers.len() == rows.files.len() * ROWS,
            "the file before {} holds fewer than {ROWS} rows: give the command that makes them once more, with the \
             largest count that was asked for",
            path.display()
        );
        rows.numbers.extend(index * ROWS..index * ROWS + held);
        rows.files.push(tensors);
    }
    let origin = origin.with_context(|| format!("there is nothing in {} yet: make it first", folder.display()))?;
    rows.numbers.truncate(limit);
    Ok((rows, origin))
}

/// What the rows in a folder come from; `None` where there are none.
pub fn origin(folder: &Path) -> Result<Option<Origin>> {
    let Some(&first) = listed(folder)?.first() else { return Ok(None) };
    TensorFile::open(&path(folder, first))?.map(|file| origin_of(&file)).transpose()
}

/// How many rows are in a file; 0 if there is none.
fn kept(folder: &Path, index: usize) -> Result<usize> {
    Ok(TensorFile::open(&path(folder, index))?.map_or(0, |file| file.rows(LATENTS)))
}

/// The numbers of the files that are there.
fn listed(folder: &Path) -> Result<Vec<usize>> {
    if !folder.exists() {
        return Ok(Vec::new());
    }
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))? {
        let name = entry.with_context(|| format!("cannot list {}", folder.display()))?.file_name();
        found.extend(name.to_str().and_then(|name| name.strip_suffix(".safetensors")?.parse::<usize>().ok()));
    }
    found.sort_unstable();
    Ok(found)
}

/// The first `count` rows of the parts one after the other.
fn joined(parts: &[Tensors], count: usize) -> Result<Tensors> {
    let Some(first) = parts.first() else { bail!("no rows were made") };
    let join = |name: &String| {
        let tensors: Vec<&Tensor> = parts.iter().filter_map(|part| part.get(name)).collect();
        Ok((name.clone(), Tensor::cat(&tensors, 0)?.narrow(0, 0, count)?.to_device(&Device::Cpu)?))
    };
    first.keys().map(join).collect()
}

/// The origin as one entry of a file's metadata, so that equal rows make equal files.
fn metadata(origin: &Origin) -> Result<Metadata> {
    Ok(Metadata::from([(ORIGIN.to_owned(), serde_json::to_string(origin)?)]))
}

const ORIGIN: &str = "origin";

fn origin_of(file: &TensorFile) -> Result<Origin> {
    let metadata = file.metadata();
    let text = metadata.get(ORIGIN).context("a file does not say what its rows come from: remove it")?;
    Ok(serde_json::from_str(text)?)
}

/// That what is there comes from the same.
fn check_origin(folder: &Path, origin: &Origin) -> Result<()> {
    let Some(found) = self::origin(folder)? else { return Ok(()) };
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
    use instaflow_test_support::assert_error;
    use std::time::{Duration, Instant};

    fn make(range: Range<usize>) -> Result<Tensors> {
        let values: Vec<f32> = range.clone().flat_map(|row| [row as f32, -(row as f32)]).collect();
        let latents = Tensor::from_vec(values, (range.len(), 2, 1, 1), &Device::Cpu)?.to_dtype(DType::F16)?;
        Ok(Tensors::from([(LATENTS.to_owned(), latents)]))
    }

    fn limits(folder: &Path, deadline: Option<Instant>) -> Limits {
        Limits { deadline, steps: None, checkpoint_every: Duration::ZERO, stop_file: folder.join("stop") }
    }

    fn fill_at(folder: &Path, count: usize, shard: Shard, from: &str) -> Result<bool> {
        let origin = Origin::from([("from".to_owned(), from.to_owned())]);
        fill(folder, count, shard, 16, &origin, &Workers::new(2)?, &limits(folder, None), make)
    }

    #[test]
    fn what_is_missing_is_made_and_what_is_there_is_kept() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let folder = folder.path().join(LATENTS);
        let workers = Workers::new(2)?;
        let origin = Origin::from([("from".to_owned(), "a".to_owned())]);
        let late = limits(&folder, Some(Instant::now()));
        assert!(!fill(&folder, 300, Shard::WHOLE, 16, &origin, &workers, &late, make)?);
        // Nothing was made in no time.
        assert_error(read(&folder, 300), "there is nothing in");
        assert!(fill_at(&folder, 100, Shard::WHOLE, "a")?);
        assert_eq!(read(&folder, usize::MAX)?.0.count(), 100);
        assert!(fill_at(&folder, ROWS, Shard::WHOLE, "a")?);
        let only_new = |range: Range<usize>| {
            anyhow::ensure!(range.start >= ROWS && range.len() == 24, "{range:?}: made twice, or a part of a part");
            make(range)
        };
        assert!(fill(&folder, 301, Shard::WHOLE, 24, &origin, &workers, &limits(&folder, None), only_new)?);
        // Fewer than are there: nothing to do.
        assert!(fill_at(&folder, 5, Shard::WHOLE, "a")?);
        let (rows, found) = read(&folder, usize::MAX)?;
        assert_eq!((rows.count(), rows.number(300), &found), (301, 300, &origin));
        assert_eq!(
            (read(&folder, 100)?.0.count(), read(&folder, 257)?.0.count()),
            (100, 257),
            "no more than asked for"
        );
        let values = rows.latents(&[300, 2], &Device::Cpu)?.flatten_all()?.to_vec1::<f32>()?;
        assert_eq!(values, [300.0, -300.0, 2.0, -2.0]);
        assert_error(fill_at(&folder, 600, Shard::WHOLE, "b"), "was made otherwise");

        // A share that was asked for less than the others leaves a gap, which is named.
        assert!(fill_at(&folder, 3 * ROWS, "1/2".parse().map_err(anyhow::Error::msg)?, "a")?);
        assert!(read(&folder, usize::MAX).is_err_and(|error| error.to_string().contains("00002.safetensors holds")));
        assert!(fill_at(&folder, 3 * ROWS, Shard::WHOLE, "a")?);
        assert_eq!(read(&folder, usize::MAX)?.0.count(), 3 * ROWS);
        Ok(())
    }

    /// Two machines, each with its folder and its share, against one with all.
    #[test]
    fn shards_put_together_are_the_whole() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let [whole, first, second] = ["whole", "first", "second"].map(|name| folder.path().join(name));
        fill_at(&whole, 1100, Shard::WHOLE, "a")?;
        fill_at(&first, 1100, "1/2".parse().map_err(anyhow::Error::msg)?, "a")?;
        fill_at(&second, 1100, "2/2".parse().map_err(anyhow::Error::msg)?, "a")?;

        // One share alone is usable: its rows keep their numbers.
        let (rows, _) = read(&second, usize::MAX)?;
        assert_eq!((rows.count(), rows.number(0), rows.number(ROWS)), (2 * ROWS, ROWS, 3 * ROWS));
        assert_eq!(rows.latents(&[0], &Device::Cpu)?.flatten_all()?.to_vec1::<f32>()?, [256.0, -256.0]);

        for entry in std::fs::read_dir(&second)? {
            let entry = entry?;
            std::fs::copy(entry.path(), first.join(entry.file_name()))?;
        }
        let names = |folder: &Path| -> Result<Vec<String>> {
            let mut names: Vec<String> = std::fs::read_dir(folder)?
                .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
                .collect::<Result<_>>()?;
            names.sort();
            Ok(names)
        };
        assert_eq!(names(&first)?, names(&whole)?);
        for name in names(&whole)? {
            assert_eq!(std::fs::read(first.join(&name))?, std::fs::read(whole.join(&name))?, "{name}");
        }
        Ok(())
    }

    #[test]
    fn files_of_two_origins_do_not_mix() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let [ours, theirs] = ["ours", "theirs"].map(|name| folder.path().join(name));
        fill_at(&ours, 1, Shard::WHOLE, "a")?;
        fill_at(&theirs, 300, Shard::WHOLE, "b")?;
        std::fs::copy(path(&theirs, 1), path(&ours, 1))?;
        assert!(read(&ours, usize::MAX).is_err_and(|error| error.to_string().contains("otherwise")));
        Ok(())
    }

    #[test]
    fn shares_are_read_or_refused() {
        assert_eq!("1/1".parse(), Ok(Shard::WHOLE));
        assert_eq!("3/7".parse(), Ok(Shard { index: 2, count: 7 }));
        for wrong in ["", "1", "0/2", "3/2", "1/0", "a/b", "-1/2"] {
            assert_error(wrong.parse::<Shard>(), &format!("{wrong:?} is no share"));
        }
    }
}
