//! The kept pictures in the order in which they are shown, and a search through them: plain data in memory, so that a
//! search reads no file. Change what a search finds in [`Query::finds`].

use super::Entry;

/// What a search looks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query {
    /// Words that must all occur, in any order; parts of words count.
    pub words: String,
    /// Only pictures that the person likes.
    pub starred: bool,
}

/// All kept pictures, newest first.
#[derive(Default)]
pub struct Catalog {
    all: Vec<Searchable>,
    /// Indices into `all` of what the query finds.
    found: Vec<usize>,
    query: Query,
}

/// An entry, and its text for searches.
struct Searchable {
    entry: Entry,
    words: String,
}

impl Query {
    /// Whether it finds everything.
    pub fn is_empty(&self) -> bool {
        !self.starred && self.words.trim().is_empty()
    }

    /// Whether `one` matches; `needles` are this query's words in lower case.
    fn finds(&self, needles: &[&str], one: &Searchable) -> bool {
        (!self.starred || one.entry.starred) && needles.iter().all(|needle| one.words.contains(needle))
    }
}

impl Searchable {
    fn new(entry: Entry) -> Self {
        Self { words: entry.words(), entry }
    }
}

impl Catalog {
    /// From entries in any order.
    pub fn new(entries: Vec<Entry>) -> Self {
        let mut all: Vec<_> = entries.into_iter().map(Searchable::new).collect();
        all.sort_unstable_by_key(|one| std::cmp::Reverse(one.entry.id));
        let mut catalog = Self { all, ..Self::default() };
        catalog.search();
        catalog
    }

    /// How many pictures there are.
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// How many the query finds.
    pub fn found(&self) -> usize {
        self.found.len()
    }

    /// One of the pictures that the query finds, newest first.
    pub fn at(&self, place: usize) -> Option<&Entry> {
        Some(&self.all[*self.found.get(place)?].entry)
    }

    /// The place of an entry among those that the query finds.
    pub fn place(&self, id: u64) -> Option<usize> {
        self.found.binary_search_by(|&at| id.cmp(&self.all[at].entry.id)).ok()
    }

    /// An entry by its number, whether the query finds it or not.
    pub fn get(&self, id: u64) -> Option<&Entry> {
        Some(&self.all[self.position(id).ok()?].entry)
    }

    /// The newest entry that `matches`, whether the query finds it or not.
    pub fn first(&self, matches: impl Fn(&Entry) -> bool) -> Option<&Entry> {
        self.all.iter().map(|one| &one.entry).find(|entry| matches(entry))
    }

    /// What the search looks for.
    pub fn query(&self) -> &Query {
        &self.query
    }

    /// Searches for something else.
    pub fn set_query(&mut self, query: Query) {
        if query != self.query {
            self.query = query;
            self.search();
        }
    }

    /// Inserts an entry, or replaces the one with its number.
    pub fn put(&mut self, entry: Entry) {
        match self.position(entry.id) {
            Ok(at) => self.all[at] = Searchable::new(entry),
            Err(at) => self.all.insert(at, Searchable::new(entry)),
        }
        self.search();
    }

    /// Removes an entry.
    pub fn remove(&mut self, id: u64) -> Option<Entry> {
        let one = self.all.remove(self.position(id).ok()?);
        self.search();
        Some(one.entry)
    }

    /// The index of an entry, or where it would be inserted.
    fn position(&self, id: u64) -> Result<usize, usize> {
        self.all.binary_search_by(|one| id.cmp(&one.entry.id))
    }

    fn search(&mut self) {
        let words = self.query.words.to_lowercase();
        let needles: Vec<_> = words.split_whitespace().collect();
        let all = self.all.iter().enumerate();
        self.found = all.filter(|(_, one)| self.query.finds(&needles, one)).map(|(at, _)| at).collect();
    }
}

#[cfg(test)]
mod tests {
    use instaflow_engine::protocol::{Blend, Settings, Timings, Toward};

    use super::*;

    fn entry(id: u64, prompt: &str) -> Entry {
        Entry {
            id,
            kept_at: 0,
            width: 8,
            height: 8,
            settings: Settings { seed: id * 1000, ..Settings::student(prompt) },
            model: "Pocket".to_owned(),
            model_hash: String::new(),
            timings: Timings::default(),
            straightness: None,
            starred: id.is_multiple_of(2),
            deleted: false,
            has_latents: false,
        }
    }

    fn found(catalog: &Catalog) -> Vec<u64> {
        (0..catalog.found()).filter_map(|place| catalog.at(place)).map(|entry| entry.id).collect()
    }

    fn check(words: &str, starred: bool, expected: &[u64]) {
        let mut blended = entry(5, "calm");
        blended.settings.blend =
            Blend { prompt: Some(Toward { to: "Stormy sea".to_owned(), by: 0.5 }), ..Blend::default() };
        let entries = vec![entry(1, "a Red boat"), entry(4, "été à la mer"), entry(2, "a blue boat, red sky"), blended];
        let mut catalog = Catalog::new(entries);
        catalog.set_query(Query { words: words.to_owned(), starred });
        assert_eq!(found(&catalog), expected, "{words:?}");
        for (place, id) in expected.iter().enumerate() {
            assert_eq!(catalog.place(*id), Some(place));
        }
    }

    #[test]
    fn all_words_must_occur_in_any_order_and_case() {
        check("", false, &[5, 4, 2, 1]);
        check("  boat  RED ", false, &[2, 1]);
        check("blu", false, &[2]);
        check("ÉTÉ", false, &[4]);
        check("stormy", false, &[5]);
        check("4000", false, &[4]);
        check("pocket", true, &[4, 2]);
        check("boat lake", false, &[]);
    }

    #[test]
    fn what_is_put_and_taken_keeps_the_order() {
        let mut catalog = Catalog::new(vec![entry(1, "one"), entry(3, "three")]);
        catalog.put(entry(2, "two"));
        assert_eq!(found(&catalog), [3, 2, 1]);
        catalog.set_query(Query { words: "thr".to_owned(), starred: false });
        catalog.put(entry(2, "second"));
        assert_eq!(found(&catalog), [3], "found no longer");
        assert_eq!(catalog.place(2), None);
        assert_eq!(catalog.get(2).map(|entry| entry.settings.prompt.as_str()), Some("second"));
        assert_eq!(catalog.remove(3).map(|entry| entry.id), Some(3));
        assert_eq!((found(&catalog), catalog.len(), catalog.remove(3)), (vec![], 2, None));
    }
}
