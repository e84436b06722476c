//! The files of the library: which there are, what they are called, and what of a crash is left among them.
//!
//! `pictures/00000042.png` carries its settings, `latents/00000042.safetensors` is what it was decoded from, and
//! `index.redb` is made from them again where it is lost.

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

/// What lies in it.
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
    /// The folder at `root`, made where it is not there.
    pub fn create(root: &Path) -> io::Result<Self> {
        let folder = Self { root: root.to_owned() };
        fs::create_dir_all(folder.pictures())?;
        fs::create_dir_all(folder.root.join("latents"))?;
        Ok(folder)
    }

    /// Where it is.
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

    /// What is there, by the files' names alone.
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
                // A file that a person has put there is not called exactly so, and is left alone.
                numbers.extend(number.filter(|number: &u64| name == format!("{number:08}{ending}")));
            }
            Ok(numbers)
        };
        let pictures = read(self.pictures(), ".png")?;
        let latents = read(self.root.join("latents"), ".safetensors")?;
        Ok(Listing { pictures, latents, ..listing })
    }

    /// Takes a picture's files away, as far as they are there.
    pub fn remove(&self, id: u64) -> io::Result<()> {
        remove(&self.latents(id))?;
        remove(&self.picture(id))
    }

    /// Gives the index another name, under which nothing is yet, and returns it.
    pub fn set_index_aside(&self) -> io::Result<PathBuf> {
        let names = (1..).map(|number: u32| self.root.join(format!("index.redb.unreadable-{number}")));
        let aside = names.into_iter().find(|path| !path.exists()).expect("numbers do not end");
        fs::rename(self.index(), &aside)?;
        Ok(aside)
    }
}

/// Takes a file away; one that is not there is no error.
pub fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Width and height of a PNG, by its header alone.
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
    // Four bytes for each of 16,384² pixels: more was never drawn.
    limits.max_alloc = Some(1 << 30);
    PngDecoder::with_limits(BufReader::new(fs::File::open(path)?), limits).map_err(io::Error::other)
}
