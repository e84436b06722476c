//! Models from the Hugging Face hub: the catalogue of those that are known to work, the cache that programs share,
//! licences and downloads.
