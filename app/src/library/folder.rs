//! The files of the library: their names, and which of them exist, including what a crash has left.
//!
//! `pictures/00000042.png` carries its settings, `latents/00000042.safetensors` is what it was decoded from, and
//! `index.redb` can be rebuilt from both.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, BufReader, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use image::codecs::png::PngDecoder;
use image::{DynamicImage, ImageDecoder, Limits};

use crate::folders;

/// Where kept pictures are.
pub fn default_folder() -> Option<PathBuf> {
    Some(folders::data()?.join("library"))
}

/// The library's folder.
pub struct Folder {
    root: PathBuf,
}

/// What the folder contains.
#[derive(Debug, Default)]
pub struct Listing {
    /// Numbers of pictures.
    pub pictures: BTreeSet<u64>,
    /// Numbers of latents.
    pub latents: BTreeSet<u64>,
    /// Files that were being written when the program was ended.
    pub unfinished: Vec<PathBuf>,
}

impl Folder {
    /// The folder at `root`, created if necessary.
    pub fn create(root: &Path) -> io::Result<Self> {
        let folder = Self { root: root.to_owned() };
        fs::create_dir_all(folder.pictures())?;
        fs::create_dir_all(folder.root.join("latents"))?;
        Ok(folder)
    }

    /// Its path.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The index.
    pub fn index(&self) -> PathBuf {
        self.root.join("index.redb")
    }

    /// Where the pictures are.
    pub fn pictures(&self) -> PathBuf {
        self.root.join("pictures")
    }

    /// One picture's file.
    pub fn picture(&self, id: u64) -> PathBuf {
        self.pictures().join(format!("{id:08}.png"))
    }

    /// The file of one picture's latents.
    pub fn latents(&self, id: u64) -> PathBuf {
        self.root.join("latents").join(format!("{id:08}.safetensors"))
    }

    /// What is there, judged only by the files' names.
    pub fn list(&self) -> io::Result<Listing> {
        let mut listing = Listing::default();
        let mut read = |folder: PathBuf, ending: &str| -> io::Result<BTreeSet<u64>> {
            let mut numbers = BTreeSet::new();
            for file in fs::read_dir(folder)? {
                let path = file?.path();
                let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
                if name.starts_with(".instaflow-") {
                    listing.unfinished.push(path);
                    continue;
                }
                let number = name.strip_suffix(ending).and_then(|stem| stem.parse().ok());
                // Files with other names are a person's own and are left alone.
                numbers.extend(number.filter(|number: &u64| name == format!("{number:08}{ending}")));
            }
            Ok(numbers)
        };
        let pictures = read(self.pictures(), ".png")?;
        let latents = read(self.root.join("latents"), ".safetensors")?;
        Ok(Listing { pictures, latents, ..listing })
    }

    /// Deletes a picture's files, if they exist.
    pub fn remove(&self, id: u64) -> io::Result<()> {
        remove(&self.latents(id))?;
        remove(&self.picture(id))
    }

    /// Renames the index to a name that is free, and returns it.
    pub fn set_index_aside(&self) -> io::Result<PathBuf> {
        let names = (1..).map(|number: u32| self.root.join(format!("index.redb.unreadable-{number}")));
        let aside = names.into_iter().find(|path| !path.exists()).expect("numbers do not end");
        fs::rename(self.index(), &aside)?;
        Ok(aside)
    }
}

/// Deletes a file, if it exists.
pub fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Width and height of a PNG, from its header.
pub fn size(path: &Path) -> io::Result<(u32, u32)> {
    Ok(decoder(path)?.dimensions())
}

/// A PNG's size and RGB bytes.
pub fn pixels(path: &Path) -> io::Result<(u32, u32, Arc<[u8]>)> {
    let pixels = DynamicImage::from_decoder(decoder(path)?).map_err(io::Error::other)?.into_rgb8();
    let (width, height) = pixels.dimensions();
    Ok((width, height, pixels.into_raw().into()))
}

fn decoder(path: &Path) -> io::Result<PngDecoder<BufReader<fs::File>>> {
    let mut limits = Limits::default();
    // Four bytes for each of 16,384² pixels, the largest picture that is ever drawn.
    limits.max_alloc = Some(1 << 30);
    PngDecoder::with_limits(BufReader::new(fs::File::open(path)?), limits).map_err(io::Error::other)
}
