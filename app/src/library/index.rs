//! The index on disk: a redb database with a table of entries and one of thumbnails. Only this file knows redb. Every
//! change is one transaction, and on disk when it returns.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use redb::{
    Builder, Database, DatabaseError, ReadableDatabase, ReadableTable, TableDefinition, TableError, WriteTransaction,
};

use super::Entry;

/// Entries as JSON, so that versions may have different fields.
const ENTRIES: TableDefinition<u64, &[u8]> = TableDefinition::new("entries");

/// Small pictures as JPEG.
const THUMBNAILS: TableDefinition<u64, &[u8]> = TableDefinition::new("thumbnails");

/// The highest number that a picture ever had, so that no number is used twice.
const HIGHEST: TableDefinition<&str, u64> = TableDefinition::new("highest");

/// How many bytes of the file stay in memory; the entries of 10,000 pictures take 5 MB.
const CACHE: usize = 16 << 20;

/// The open index. Only one process can have it open.
pub struct Index {
    database: Database,
}

/// Why an index could not be opened.
#[derive(Debug)]
pub enum OpenError {
    /// Another process has it.
    InUse,
    /// It is damaged, or not an index at all; why.
    Damaged(String),
    /// The file system does not allow it; why.
    Refused(String),
}

impl Index {
    /// Opens the index, or creates it, and reads its entries in the order of their numbers. A row that no version of this
    /// program could have written is left out.
    pub fn open(path: &Path) -> Result<(Self, Vec<Entry>), OpenError> {
        // redb can panic on a damaged file.
        let opened = catch_unwind(AssertUnwindSafe(|| {
            let database = Builder::new().set_cache_size(CACHE).create(path).map_err(from_opening)?;
            let index = Self { database };
            index.create_tables().map_err(from_use)?;
            let entries = index.entries().map_err(from_use)?;
            Ok((index, entries))
        }));
        opened.unwrap_or_else(|_| Err(OpenError::Damaged("its contents contradict each other".to_owned())))
    }

    /// The bytes of a thumbnail.
    pub fn thumbnail(&self, id: u64) -> Result<Option<Vec<u8>>, redb::Error> {
        let table = self.database.begin_read()?.open_table(THUMBNAILS)?;
        Ok(table.get(id)?.map(|row| row.value().to_vec()))
    }

    /// One entry.
    pub fn get(&self, id: u64) -> Result<Option<Entry>, redb::Error> {
        let table = self.database.begin_read()?.open_table(ENTRIES)?;
        Ok(table.get(id)?.and_then(|row| parse(id, row.value())))
    }

    /// The highest number that a picture of this index ever had.
    pub fn highest(&self) -> Result<u64, redb::Error> {
        let table = self.database.begin_read()?.open_table(HIGHEST)?;
        Ok(table.get("picture")?.map_or(0, |row| row.value()))
    }

    /// Writes entries, with thumbnails if they are given: all or none.
    pub fn put(&mut self, rows: &[(&Entry, Option<&[u8]>)]) -> Result<(), redb::Error> {
        self.write(|transaction| {
            let (mut entries, mut thumbnails) = (transaction.open_table(ENTRIES)?, transaction.open_table(THUMBNAILS)?);
            for (entry, thumbnail) in rows {
                let json = serde_json::to_vec(entry).expect("plain data with string keys is JSON");
                entries.insert(entry.id, json.as_slice())?;
                if let Some(thumbnail) = thumbnail {
                    thumbnails.insert(entry.id, *thumbnail)?;
                }
            }
            let mut table = transaction.open_table(HIGHEST)?;
            let before = table.get("picture")?.map_or(0, |row| row.value());
            let highest = rows.iter().map(|(entry, _)| entry.id).max().unwrap_or(0);
            if highest > before {
                table.insert("picture", highest)?;
            }
            Ok(())
        })
    }

    /// Adds a thumbnail to an entry.
    pub fn put_thumbnail(&mut self, id: u64, thumbnail: &[u8]) -> Result<(), redb::Error> {
        self.write(|transaction| {
            transaction.open_table(THUMBNAILS)?.insert(id, thumbnail)?;
            Ok(())
        })
    }

    /// Removes entries and their thumbnails: all or none.
    pub fn remove(&mut self, ids: &[u64]) -> Result<(), redb::Error> {
        self.write(|transaction| {
            let (mut entries, mut thumbnails) = (transaction.open_table(ENTRIES)?, transaction.open_table(THUMBNAILS)?);
            for id in ids {
                entries.remove(id)?;
                thumbnails.remove(id)?;
            }
            Ok(())
        })
    }

    fn write(&mut self, change: impl FnOnce(&WriteTransaction) -> Result<(), redb::Error>) -> Result<(), redb::Error> {
        let mut transaction = self.database.begin_write()?;
        // After a crash, the next start need not read the whole file.
        transaction.set_quick_repair(true);
        change(&transaction)?;
        transaction.commit()?;
        Ok(())
    }

    fn create_tables(&self) -> Result<(), redb::Error> {
        // The last one to be created: if it exists, all do.
        match self.database.begin_read()?.open_table(HIGHEST) {
            Ok(_) => Ok(()),
            Err(TableError::TableDoesNotExist(_)) => {
                let transaction = self.database.begin_write()?;
                transaction.open_table(ENTRIES)?;
                transaction.open_table(THUMBNAILS)?;
                transaction.open_table(HIGHEST)?;
                Ok(transaction.commit()?)
            }
            Err(error) => Err(error.into()),
        }
    }

    fn entries(&self) -> Result<Vec<Entry>, redb::Error> {
        let table = self.database.begin_read()?.open_table(ENTRIES)?;
        let mut entries = Vec::new();
        for row in table.iter()? {
            let (id, json) = row?;
            entries.extend(parse(id.value(), json.value()));
        }
        Ok(entries)
    }
}

fn parse(id: u64, json: &[u8]) -> Option<Entry> {
    let entry: Entry = serde_json::from_slice(json).ok()?;
    Some(Entry { id, ..entry })
}

fn from_opening(error: DatabaseError) -> OpenError {
    match error {
        DatabaseError::DatabaseAlreadyOpen => OpenError::InUse,
        DatabaseError::UpgradeRequired(version) => {
            OpenError::Damaged(format!("its format has version {version}, which this program does not know"))
        }
        other => from_use(other.into()),
    }
}

fn from_use(error: redb::Error) -> OpenError {
    use io::ErrorKind::{InvalidData, InvalidInput, UnexpectedEof};
    match error {
        redb::Error::Io(error) if [InvalidData, InvalidInput, UnexpectedEof].contains(&error.kind()) => {
            OpenError::Damaged(error.to_string())
        }
        redb::Error::Io(error) => OpenError::Refused(error.to_string()),
        redb::Error::DatabaseAlreadyOpen => OpenError::InUse,
        redb::Error::RepairAborted => OpenError::Refused("it could not be repaired".to_owned()),
        other => OpenError::Damaged(other.to_string()),
    }
}
