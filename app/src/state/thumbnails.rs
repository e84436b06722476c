//! The thumbnails on the GPU: the ones that were shown last, at most a few screens of them.

use std::cell::Cell;
use std::collections::HashMap;

use egui::{ColorImage, TextureHandle, TextureOptions};

/// So many are held: several times what a wide screen shows, some 28 MB of 168² pixels.
const MOST: usize = 256;

/// Thumbnails by the number of their picture.
#[derive(Default)]
pub(crate) struct Thumbnails {
    held: HashMap<u64, Held>,
    /// Counts up with every look at one.
    clock: Cell<u64>,
}

struct Held {
    /// `None` if the picture cannot be read, which is asked once.
    texture: Option<TextureHandle>,
    looked_at: Cell<u64>,
}

impl Thumbnails {
    /// One that is wanted now, if there is one.
    pub fn look_at(&self, id: u64) -> Option<&TextureHandle> {
        let held = self.held.get(&id)?;
        held.looked_at.set(self.tick());
        held.texture.as_ref()
    }

    /// Whether it has yet to be made.
    pub fn lacks(&self, id: u64) -> bool {
        !self.held.contains_key(&id)
    }

    /// Takes one in; the one not looked at for longest makes room.
    pub fn insert(&mut self, ctx: &egui::Context, id: u64, image: Option<ColorImage>) {
        let texture = image.map(|image| ctx.load_texture("thumbnail", image, TextureOptions::LINEAR));
        let looked_at = Cell::new(self.tick());
        self.held.insert(id, Held { texture, looked_at });
        if self.held.len() > MOST {
            let oldest = self.held.iter().min_by_key(|(_, held)| held.looked_at.get()).map(|(id, _)| *id);
            oldest.map(|oldest| self.held.remove(&oldest));
        }
    }

    /// Drops one whose picture has changed or is gone.
    pub fn forget(&mut self, id: u64) {
        self.held.remove(&id);
    }

    fn tick(&self) -> u64 {
        self.clock.update(|clock| clock + 1);
        self.clock.get()
    }

    /// How many are held.
    pub fn len(&self) -> usize {
        self.held.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_looked_at_last_stays() {
        let ctx = egui::Context::default();
        let mut thumbnails = Thumbnails::default();
        for id in 0..MOST as u64 {
            thumbnails.insert(&ctx, id, Some(ColorImage::filled([1, 1], egui::Color32::RED)));
        }
        assert!(thumbnails.look_at(0).is_some());
        thumbnails.insert(&ctx, 9000, None);
        thumbnails.insert(&ctx, 9001, None);
        assert_eq!(thumbnails.len(), MOST);
        assert!(!thumbnails.lacks(0) && thumbnails.lacks(1) && thumbnails.lacks(2));
        assert!(thumbnails.look_at(9000).is_none() && !thumbnails.lacks(9000), "known to be unreadable");
        thumbnails.forget(9000);
        assert!(thumbnails.lacks(9000));
    }
}
