//! The books over one stretch of addresses: which parts are in use, which are free and still have memory, and which have
//! none. Plain arithmetic on addresses; nothing here allocates or panics.

/// Free parts are known up to this number. Of more, small ones are never used again: those without memory first.
const SLOTS: usize = 512;
/// So many bytes may always be kept: all that a small model works with.
const ALWAYS: usize = 1 << 26;
/// Bytes are kept for reuse up to this many in all.
const KEPT: usize = 1 << 30;
/// What so many later allocations had no use for goes back to the system: weights that were packed, the feature maps of
/// another size.
const PATIENCE: u64 = 4096;
/// What goes back goes in steps of this.
const STEP: usize = 1 << 21;

pub(super) struct Ranges {
    start: usize,
    end: usize,
    /// Whether the stretch was asked for, be it in vain.
    set: bool,
    /// From here on nothing was ever used.
    top: usize,
    /// The free parts below, by address.
    free: [Range; SLOTS],
    count: usize,
    /// Bytes in use, the most there ever were, and those that are free but have memory.
    used: usize,
    most_used: usize,
    kept: usize,
    /// Allocations so far.
    clock: u64,
}

#[derive(Clone, Copy)]
struct Range {
    start: usize,
    len: usize,
    /// Whether it still has the memory of what was there.
    kept: bool,
    /// When it was freed.
    freed: u64,
}

/// Where a block lies, and whether it holds zeros because nothing was there before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub start: usize,
    pub fresh: bool,
}

impl Ranges {
    pub(super) const NONE: Self = Self {
        start: 0,
        end: 0,
        set: false,
        top: 0,
        free: [Range { start: 0, len: 0, kept: false, freed: 0 }; SLOTS],
        count: 0,
        used: 0,
        most_used: 0,
        kept: 0,
        clock: 0,
    };

    pub(super) fn is_unset(&self) -> bool {
        !self.set
    }

    /// Begins with the stretch of that start and length.
    pub(super) fn set(&mut self, (start, len): (usize, usize)) {
        *self = Self { start, end: start + len, set: true, top: start, ..Self::NONE };
    }

    /// A place for `size` bytes: where memory is kept, in the smallest range that suffices; `None` where addresses end.
    pub(super) fn take(&mut self, size: usize) -> Option<Place> {
        let place = match self.best(true, size).or_else(|| self.best(false, size)) {
            Some(at) => self.cut(at, size),
            None if self.end - self.top >= size => {
                self.top += size;
                Place { start: self.top - size, fresh: true }
            }
            None => return None,
        };
        self.clock += 1;
        self.used += size;
        self.most_used = self.most_used.max(self.used);
        Some(place)
    }

    /// Frees a block; false where it is not inside.
    pub(super) fn give(&mut self, start: usize, size: usize) -> bool {
        let inside = (self.start..self.end).contains(&start);
        if inside {
            self.used -= size;
            self.insert(Range { start, len: size, kept: true, freed: self.clock });
        }
        inside
    }

    /// Something free whose memory should go back to the system, as start and length: where what is kept would make the
    /// process larger than what it uses ever did, where it waited in vain, or where it is more than the share. It is out of
    /// the books until it is [`released`](Self::released).
    pub(super) fn surplus(&mut self) -> Option<(usize, usize)> {
        let most = (self.most_used - self.used).clamp(ALWAYS, KEPT);
        let over = self.kept.saturating_sub(most);
        // Scraps first: the next feature map wants its hundred megabytes in one piece.
        let at = if over > 0 { self.best(true, 0)? } else { self.outdated()? };
        let Range { start, len, .. } = self.free[at];
        let len = if over > 0 { len.min(over.next_multiple_of(STEP)) } else { len };
        self.cut(at, len);
        Some((start, len))
    }

    /// Takes back what [`surplus`](Self::surplus) gave, without memory now.
    pub(super) fn released(&mut self, start: usize, len: usize) {
        self.insert(Range { start, len, kept: false, freed: self.clock });
    }

    /// The smallest free range of one kind that has `size` bytes.
    fn best(&self, kept: bool, size: usize) -> Option<usize> {
        let fits = |at: &usize| self.free[*at].kept == kept && self.free[*at].len >= size;
        (0..self.count).filter(fits).min_by_key(|at| self.free[*at].len)
    }

    fn outdated(&self) -> Option<usize> {
        let waited = |at: &usize| self.free[*at].kept && self.clock - self.free[*at].freed > PATIENCE;
        (0..self.count).find(waited)
    }

    /// Takes the first `size` bytes of a free range.
    fn cut(&mut self, at: usize, size: usize) -> Place {
        let Range { start, len, kept, .. } = self.free[at];
        if kept {
            self.kept -= size;
        }
        if len == size {
            self.remove(at);
        } else {
            self.free[at].start += size;
            self.free[at].len -= size;
        }
        Place { start, fresh: !kept }
    }

    /// Adds a free range, joined to its neighbours of the same kind.
    fn insert(&mut self, mut range: Range) {
        if range.kept {
            self.kept += range.len;
        }
        let mut at = self.free[..self.count].partition_point(|other| other.start < range.start);
        let joins = |a: &Range, b: &Range| a.kept == b.kept && a.start + a.len == b.start;
        if at < self.count && joins(&range, &self.free[at]) {
            range.len += self.free[at].len;
            self.remove(at);
        }
        if at > 0 && joins(&self.free[at - 1], &range) {
            at -= 1;
            range = Range { start: self.free[at].start, len: self.free[at].len + range.len, ..range };
            self.remove(at);
        }
        if self.count == SLOTS {
            let smallest = (0..SLOTS).min_by_key(|at| (self.free[*at].kept, self.free[*at].len)).unwrap_or(0);
            if self.free[smallest].kept {
                self.kept -= self.free[smallest].len;
            }
            self.remove(smallest);
            at -= usize::from(smallest < at);
        }
        self.free.copy_within(at..self.count, at + 1);
        self.free[at] = range;
        self.count += 1;
    }

    fn remove(&mut self, at: usize) {
        self.free.copy_within(at + 1..self.count, at);
        self.count -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEGABYTE: usize = 1 << 20;

    fn ranges() -> Box<Ranges> {
        let mut ranges = Box::new(Ranges::NONE);
        ranges.set((MEGABYTE, 1 << 40));
        ranges
    }

    /// Everything that should go back to the system does.
    fn trim(ranges: &mut Ranges) -> usize {
        let mut bytes = 0;
        while let Some((start, len)) = ranges.surplus() {
            ranges.released(start, len);
            bytes += len;
        }
        bytes
    }

    #[test]
    fn what_was_freed_is_cut_and_joined() {
        let mut ranges = ranges();
        let [a, b, c] = [4, 8, 4].map(|size| ranges.take(size * MEGABYTE).expect("room"));
        assert!(a.fresh && b.fresh && c.fresh);
        assert!(ranges.give(b.start, 8 * MEGABYTE));
        let again = ranges.take(4 * MEGABYTE).expect("room");
        assert_eq!(again, Place { start: b.start, fresh: false }, "the first half of what was freed");
        assert!(ranges.give(a.start, 4 * MEGABYTE));
        assert!(ranges.give(again.start, 4 * MEGABYTE));
        let joined = ranges.take(12 * MEGABYTE).expect("room");
        assert_eq!(joined, Place { start: a.start, fresh: false }, "all three parts as one");
        assert!(!ranges.give(0, 4 * MEGABYTE), "not inside");
    }

    #[test]
    fn what_is_kept_never_adds_to_the_most_that_was_used() {
        let mut ranges = ranges();
        let sizes = [64, 32, 16, 48].map(|size| size * MEGABYTE);
        let places = sizes.map(|size| ranges.take(size).expect("room"));
        for (place, size) in places.into_iter().zip(sizes) {
            ranges.give(place.start, size);
        }
        assert_eq!(trim(&mut ranges), 0, "nothing is in use: all may be kept");
        let large = ranges.take(161 * MEGABYTE).expect("room");
        assert!(large.fresh, "more than there ever was in one place");
        assert_eq!(trim(&mut ranges), 96 * MEGABYTE, "all but what may always be kept");
        assert!(ranges.used + ranges.kept <= ranges.most_used + ALWAYS);
    }

    #[test]
    fn no_more_than_its_share_is_kept_nor_longer_than_is_of_use() {
        let mut ranges = ranges();
        let place = ranges.take(2 * KEPT).expect("room");
        ranges.give(place.start, 2 * KEPT);
        assert_eq!(trim(&mut ranges), KEPT);
        ranges.clock += PATIENCE + 1;
        assert_eq!(trim(&mut ranges), KEPT, "what waited in vain is released");
        assert_eq!((ranges.kept, ranges.used), (0, 0));
        assert_eq!(ranges.count, 1, "released parts are joined again");
    }

    #[test]
    fn blocks_never_overlap_and_the_books_stay_right() {
        let mut ranges = ranges();
        let mut held: Vec<(usize, usize)> = Vec::new();
        let mut state = 1u64;
        for _ in 0..20_000 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let random = (state >> 33) as usize;
            if random.is_multiple_of(2) && !held.is_empty() {
                let (start, size) = held.swap_remove(random % held.len());
                assert!(ranges.give(start, size));
            } else {
                let size = (1 + random % 300) << 14;
                let start = ranges.take(size).expect("room").start;
                assert!(held.iter().all(|(other, len)| start + size <= *other || other + len <= start));
                held.push((start, size));
            }
            trim(&mut ranges);
            let free = &ranges.free[..ranges.count];
            assert!(free.windows(2).all(|pair| pair[0].start + pair[0].len <= pair[1].start));
            assert_eq!(ranges.kept, free.iter().filter(|range| range.kept).map(|range| range.len).sum::<usize>());
            assert_eq!(ranges.used, held.iter().map(|(_, size)| size).sum::<usize>());
        }
    }

    #[test]
    fn more_parts_than_the_books_have_room_for_are_forgotten_one_by_one() {
        let mut ranges = ranges();
        let places: Vec<_> = (0..2 * SLOTS + 20).map(|_| ranges.take(1 << 14).expect("room").start).collect();
        for start in places.iter().step_by(2) {
            assert!(ranges.give(*start, 1 << 14));
        }
        assert_eq!((ranges.count, ranges.kept, ranges.used), (SLOTS, SLOTS << 14, (SLOTS + 10) << 14));
        let again = ranges.take(1 << 14).expect("room");
        assert!(!again.fresh && places.iter().step_by(2).any(|start| *start == again.start));
    }

    #[test]
    fn addresses_end() {
        let mut ranges = Box::new(Ranges::NONE);
        ranges.set((0, 0));
        assert_eq!(ranges.take(MEGABYTE), None, "nothing could be reserved");
        ranges.set((MEGABYTE, 4 * MEGABYTE));
        assert!(ranges.take(3 * MEGABYTE).is_some());
        assert_eq!(ranges.take(2 * MEGABYTE), None);
    }
}
