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
pub struct Shelf {
    books: Vec<Book>,
    /// Indices into `books` of what the query finds.
    found: Vec<usize>,
    query: Query,
}

/// An entry, and its text for searches.
struct Book {
    entry: Entry,
    words: String,
}

impl Query {
    /// Whether it finds everything.
    pub fn is_empty(&self) -> bool {
        !self.starred && self.words.trim().is_empty()
    }

    /// Whether `book` matches; `needles` are this query's words in lower case.
    fn finds(&self, needles: &[&str], book: &Book) -> bool {
        (!self.starred || book.entry.starred) && needles.iter().all(|needle| book.words.contains(needle))
    }
}

impl Book {
    fn new(entry: Entry) -> Self {
        Self { words: entry.words(), entry }
    }
}

impl Shelf {
    /// From entries in any order.
    pub fn new(entries: Vec<Entry>) -> Self {
        let mut books: Vec<_> = entries.into_iter().map(Book::new).collect();
        books.sort_unstable_by_key(|book| std::cmp::Reverse(book.entry.id));
        let mut shelf = Self { books, ..Self::default() };
        shelf.search();
        shelf
    }

    /// How many pictures there are.
    pub fn len(&self) -> usize {
        self.books.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.books.is_empty()
    }

    /// How many the query finds.
    pub fn found(&self) -> usize {
        self.found.len()
    }

    /// One of the pictures that the query finds, newest first.
    pub fn at(&self, place: usize) -> Option<&Entry> {
        Some(&self.books[*self.found.get(place)?].entry)
    }

    /// The place of an entry among those that the query finds.
    pub fn place(&self, id: u64) -> Option<usize> {
        self.found.binary_search_by(|&at| id.cmp(&self.books[at].entry.id)).ok()
    }

    /// An entry by its number, whether the query finds it or not.
    pub fn get(&self, id: u64) -> Option<&Entry> {
        Some(&self.books[self.position(id).ok()?].entry)
    }

    /// The newest entry that `matches`, whether the query finds it or not.
    pub fn first(&self, matches: impl Fn(&Entry) -> bool) -> Option<&Entry> {
        self.books.iter().map(|book| &book.entry).find(|entry| matches(entry))
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
            Ok(at) => self.books[at] = Book::new(entry),
            Err(at) => self.books.insert(at, Book::new(entry)),
        }
        self.search();
    }

    /// Removes an entry.
    pub fn remove(&mut self, id: u64) -> Option<Entry> {
        let book = self.books.remove(self.position(id).ok()?);
        self.search();
        Some(book.entry)
    }

    /// The index of an entry, or where it would be inserted.
    fn position(&self, id: u64) -> Result<usize, usize> {
        self.books.binary_search_by(|book| id.cmp(&book.entry.id))
    }

    fn search(&mut self) {
        let words = self.query.words.to_lowercase();
        let needles: Vec<_> = words.split_whitespace().collect();
        let books = self.books.iter().enumerate();
        self.found = books.filter(|(_, book)| self.query.finds(&needles, book)).map(|(at, _)| at).collect();
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
            settings: Settings { seed: id as u32 * 1000, ..Settings::student(prompt) },
            model: "Pocket".to_owned(),
            model_hash: String::new(),
            timings: Timings::default(),
            straightness: None,
            starred: id.is_multiple_of(2),
            deleted: false,
            has_latents: false,
        }
    }

    fn found(shelf: &Shelf) -> Vec<u64> {
        (0..shelf.found()).filter_map(|place| shelf.at(place)).map(|entry| entry.id).collect()
    }

    fn check(words: &str, starred: bool, expected: &[u64]) {
        let mut blended = entry(5, "calm");
        blended.settings.blend =
            Blend { prompt: Some(Toward { to: "Stormy sea".to_owned(), by: 0.5 }), ..Blend::default() };
        let entries = vec![entry(1, "a Red boat"), entry(4, "été à la mer"), entry(2, "a blue boat, red sky"), blended];
        let mut shelf = Shelf::new(entries);
        shelf.set_query(Query { words: words.to_owned(), starred });
        assert_eq!(found(&shelf), expected, "{words:?}");
        for (place, id) in expected.iter().enumerate() {
            assert_eq!(shelf.place(*id), Some(place));
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
        let mut shelf = Shelf::new(vec![entry(1, "one"), entry(3, "three")]);
        shelf.put(entry(2, "two"));
        assert_eq!(found(&shelf), [3, 2, 1]);
        shelf.set_query(Query { words: "thr".to_owned(), starred: false });
        shelf.put(entry(2, "second"));
        assert_eq!(found(&shelf), [3], "found no longer");
        assert_eq!(shelf.place(2), None);
        assert_eq!(shelf.get(2).map(|entry| entry.settings.prompt.as_str()), Some("second"));
        assert_eq!(shelf.remove(3).map(|entry| entry.id), Some(3));
        assert_eq!((found(&shelf), shelf.len(), shelf.remove(3)), (vec![], 2, None));
    }
}
