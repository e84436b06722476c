//! A text that remembers where it was typed, although marks were taken out of it.

use std::ops::Range;

/// A text made of parts of a typed prompt, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Traced {
    text: String,
    /// Where each part begins: in the text, and in the prompt, in bytes.
    parts: Vec<(usize, usize)>,
}

impl Traced {
    /// A whole prompt.
    pub fn whole(prompt: &str) -> Self {
        Self { text: prompt.to_owned(), parts: vec![(0, 0)] }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Adds a part of another one, which must stand behind what was added before.
    pub fn push(&mut self, from: &Self, range: Range<usize>) {
        let mut at = range.start;
        let mut part = from.parts.partition_point(|&(start, _)| start <= at).saturating_sub(1);
        while at < range.end {
            let end = from.parts.get(part + 1).map_or(range.end, |&(next, _)| next.min(range.end));
            let typed = from.place(at);
            let joins = self.parts.last().is_some_and(|&(start, place)| place + (self.text.len() - start) == typed);
            if !joins {
                self.parts.push((self.text.len(), typed));
            }
            self.text.push_str(&from.text[at..end]);
            (at, part) = (end, part + 1);
        }
    }

    /// The place in the prompt of what stands at an offset of the text.
    pub fn place(&self, offset: usize) -> usize {
        let part = self.parts.partition_point(|&(start, _)| start <= offset).checked_sub(1);
        part.and_then(|part| self.parts.get(part)).map_or(0, |&(start, typed)| typed + (offset - start))
    }

    /// Where in the prompt a part of the text was typed. What was left out behind it is not a part of it.
    pub fn typed(&self, range: Range<usize>) -> Range<usize> {
        let start = self.place(range.start);
        start..if range.is_empty() { start } else { self.place(range.end - 1) + 1 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_of_a_text_knows_its_place() {
        let typed = Traced::whole("a (red) fox");
        let mut once = Traced::default();
        for range in [0..2, 3..6, 7..11] {
            once.push(&typed, range);
        }
        assert_eq!(once.as_str(), "a red fox");
        let mut twice = Traced::default();
        twice.push(&once, 1..3);
        twice.push(&once, 4..9);
        assert_eq!(twice.as_str(), " rd fox");
        let places: Vec<usize> = (0..7).map(|offset| twice.place(offset)).collect();
        assert_eq!(places, [1, 3, 5, 7, 8, 9, 10]);
        assert_eq!((twice.typed(1..3), twice.typed(4..7), twice.typed(2..2)), (3..6, 8..11, 5..5));
        assert_eq!(Traced::default().place(0), 0);
    }

    #[test]
    fn neighbours_are_one_part() {
        let typed = Traced::whole("abc");
        let mut joined = Traced::default();
        (0..3).for_each(|at| joined.push(&typed, at..at + 1));
        assert_eq!(joined, typed);
    }
}
