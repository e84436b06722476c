//! A short run of every reader on its seeds and on changed ones, always the same. The long one is libFuzzer's; see `README.md`.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use instaflow_fuzz::{ALL, seeds};

/// How many inputs a reader is tried on, spread over its seeds.
const INPUTS: usize = 600;

/// Readers that build a tokenizer or look for a network's tensors every time are tried on a twentieth of that.
const SLOW: [&str; 4] = ["checkpoint_keys", "model_json", "tokenizer_json", "merges"];

/// What a reader may take at once beyond its input's honest need: bytes for each byte of the input, and a constant.
const FOR_EACH_BYTE: usize = 64;
const BEYOND: usize = 64 << 20;

/// Processor time that a reader may take for one input.
const MOST_SECONDS: f64 = 1.0;

/// Counts what the thread has allocated.
struct Counting;

thread_local! {
    static NOW: Cell<usize> = const { Cell::new(0) };
    static MOST: Cell<usize> = const { Cell::new(0) };
}

fn count(more: usize, less: usize) {
    // A thread that ends may free when its cells are gone.
    let _ = NOW.try_with(|now| {
        now.set(now.get().saturating_add(more).saturating_sub(less));
        let _ = MOST.try_with(|most| most.set(most.get().max(now.get())));
    });
}

// SAFETY: every call goes to the system's allocator unchanged; counting allocates nothing.
#[expect(unsafe_code)]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size(), 0);
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(0, layout.size());
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size, layout.size());
        // SAFETY: as the caller promises.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Seconds of processor time of this thread, so that other work on the machine does not count.
#[cfg(unix)]
fn processor_seconds() -> f64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to a value of the right type, which lives until the call returns.
    #[expect(unsafe_code)]
    let failed = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    assert_eq!(failed, 0);
    time.tv_sec as f64 + time.tv_nsec as f64 * 1e-9
}

#[cfg(not(unix))]
fn processor_seconds() -> f64 {
    0.0
}

/// SplitMix64 (Steele, Lea and Flood, OOPSLA 2014).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }
}

/// What often breaks a reader.
const TOKENS: [&[u8]; 16] = [
    b"\0",
    b"\xff\xff\xff\xff",
    b"\xff\xff\xff\x7f",
    b"{",
    b"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[",
    b"\"",
    b"\\",
    b"NaN",
    b"-1",
    b"1e999",
    b"18446744073709551616",
    b"null",
    b"(((((",
    b":1.5)",
    b"\n",
    b"\xed\xa0\x80",
];

/// The seed with one to eight changes.
fn changed(seed: &[u8], others: &[Vec<u8>], random: &mut Random) -> Vec<u8> {
    let mut bytes = seed.to_vec();
    for _ in 0..=random.below(8) {
        let at = random.below(bytes.len() + 1);
        match random.below(7) {
            0 => bytes.truncate(at),
            1 if at < bytes.len() => bytes[at] ^= 1 << random.below(8),
            2 if at < bytes.len() => bytes[at] = random.next() as u8,
            3 => drop(bytes.splice(at..at, TOKENS[random.below(TOKENS.len())].iter().copied())),
            4 => {
                let end = (at + random.below(64)).min(bytes.len());
                drop(bytes.drain(at..end));
            }
            5 => {
                let end = (at + random.below(64)).min(bytes.len());
                let part = bytes[at..end].repeat(1 + random.below(20));
                drop(bytes.splice(at..at, part));
            }
            _ => {
                let other = &others[random.below(others.len())];
                let from = random.below(other.len() + 1);
                let to = (from + random.below(256)).min(other.len());
                drop(bytes.splice(at..at, other[from..to].iter().copied()));
            }
        }
    }
    bytes
}

#[test]
fn every_reader_survives_changed_seeds() {
    let mut faults = Vec::new();
    for &(name, read) in ALL {
        let mut seeds = seeds::of(name);
        seeds.push(Vec::new());
        let inputs = if SLOW.contains(&name) { INPUTS / 20 } else { INPUTS };
        let (mut tried, mut slowest, mut most_memory) = (0, 0.0_f64, 0);
        for (number, seed) in seeds.iter().enumerate() {
            for turn in 0..=inputs.div_ceil(seeds.len()) {
                let mut random = Random(((number as u64) << 32) | turn as u64);
                let input = if turn == 0 { seed.clone() } else { changed(seed, &seeds, &mut random) };
                let before = NOW.get();
                MOST.set(before);
                let begun = processor_seconds();
                let ended = std::panic::catch_unwind(|| read(&input));
                let seconds = processor_seconds() - begun;
                let memory = MOST.get().saturating_sub(before);
                tried += 1;
                (slowest, most_memory) = (slowest.max(seconds), most_memory.max(memory));
                let mut fault = |what: String| faults.push(format!("{name}, seed {number}, turn {turn}: {what}"));
                if ended.is_err() {
                    fault("panics".to_owned());
                }
                if seconds > MOST_SECONDS {
                    fault(format!("takes {seconds:.1} s for {} bytes", input.len()));
                }
                if memory > BEYOND + FOR_EACH_BYTE * input.len() {
                    fault(format!("takes {} MiB for {} bytes", memory >> 20, input.len()));
                }
            }
        }
        println!("{name}: {tried} inputs, at most {slowest:.3} s and {:.1} MiB", most_memory as f64 / (1 << 20) as f64);
    }
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
}
