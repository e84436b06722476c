//! One replica per core: each worker computes its share of a batch from beginning to end on one thread. Change here how
//! work is shared out.

use anyhow::{Context, Result, anyhow};

/// A fixed set of rayon pools, single-threaded as a rule.
///
/// Work that runs in such a pool finds one thread at hand, so that every operation below it stays on its own core: two
/// replicas side by side waste nothing on handing small operations around.
pub struct Workers(Vec<rayon::ThreadPool>);

impl Workers {
    /// `count` workers of one thread, at least one.
    pub fn new(count: usize) -> Result<Self> {
        Self::of_threads(count, 1)
    }

    /// `count` workers of so many threads each: one replica on a GPU has the cores at hand to prepare its batches.
    pub fn of_threads(count: usize, threads: usize) -> Result<Self> {
        let pool = |index| {
            rayon::ThreadPoolBuilder::new()
                .num_threads(threads.max(1))
                .thread_name(move |_| format!("worker-{index}"))
                // candle walks the graph of a network recursively.
                .stack_size(64 << 20)
                .build()
                .context("cannot start a worker thread")
        };
        (0..count.max(1)).map(pool).collect::<Result<_>>().map(Self)
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// `work` on every item, the results in the items' order.
    ///
    /// Item i always runs on worker i mod `count`: sums over the results come out the same every time.
    pub fn map<I: Send, T: Send>(&self, items: Vec<I>, work: impl Fn(I) -> Result<T> + Sync) -> Result<Vec<T>> {
        let mut queues: Vec<Vec<I>> = self.0.iter().map(|_| Vec::new()).collect();
        for (index, item) in items.into_iter().enumerate() {
            queues[index % self.0.len()].push(item);
        }
        let work = &work;
        let done: Vec<Result<Vec<T>>> = std::thread::scope(|scope| {
            let run =
                |(pool, queue): (&'_ rayon::ThreadPool, Vec<I>)| pool.install(|| queue.into_iter().map(work).collect());
            let threads: Vec<_> = self.0.iter().zip(queues).map(|pair| scope.spawn(move || run(pair))).collect();
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap_or_else(|_| Err(anyhow!("a worker panicked"))))
                .collect()
        });
        let mut queues = done.into_iter().map(|queue| Ok(queue?.into_iter())).collect::<Result<Vec<_>>>()?;
        let mut results = Vec::new();
        'all: loop {
            for queue in &mut queues {
                match queue.next() {
                    Some(result) => results.push(result),
                    None => break 'all,
                }
            }
        }
        Ok(results)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use instaflow_test_support::assert_error;

    #[test]
    fn results_keep_the_order_of_the_items() -> Result<()> {
        for (workers, items) in [(1, 5), (2, 0), (2, 7), (3, 2), (3, 9)] {
            let squares = Workers::new(workers)?.map((0..items).collect(), |i: usize| Ok(i * i))?;
            assert_eq!(squares, (0..items).map(|i| i * i).collect::<Vec<_>>());
        }
        Ok(())
    }

    #[test]
    fn an_error_and_a_panic_reach_the_caller() -> Result<()> {
        let workers = Workers::new(2)?;
        let failed = workers.map(vec![0, 1, 2], |i| if i == 2 { Err(anyhow!("two")) } else { Ok(i) });
        assert_eq!(failed.unwrap_err().to_string(), "two");
        let panicked = workers.map(vec![0, 1], |i| if i == 1 { panic!("planted") } else { Ok(i) });
        assert_error(panicked, "a worker panicked");
        Ok(())
    }

    #[test]
    fn work_finds_one_thread() -> Result<()> {
        assert_eq!(Workers::new(2)?.map(vec![(), ()], |()| Ok(rayon::current_num_threads()))?, [1, 1]);
        Ok(())
    }
}
