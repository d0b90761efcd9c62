//! Work on all processors.

use std::{
    num::NonZero,
    sync::{Mutex, PoisonError},
    thread,
};

/// Does `work` on each of `items`, on as many at a time as there are processors; the results in
/// their order.
pub fn map<T: Sync, R: Send>(items: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let queue = Mutex::new(items.iter().enumerate());
    let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).next();
    let work_on_some = || {
        let numbered = std::iter::from_fn(next);
        let done = numbered.map(|(number, item)| (number, work(item)));
        done.collect::<Vec<_>>()
    };
    let mut results = thread::scope(|scope| {
        let processors = thread::available_parallelism().map_or(1, NonZero::get);
        let workers: Vec<_> = (0..processors).map(|_| scope.spawn(work_on_some)).collect();
        let results = workers.into_iter().flat_map(|worker| {
            let joined = worker.join();
            joined.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        });
        results.collect::<Vec<_>>()
    });
    results.sort_by_key(|(number, _)| *number);
    results.into_iter().map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn results_are_in_the_order_of_the_items() {
        let items: Vec<u32> = (0..1000).collect();
        let doubled: Vec<u32> = items.iter().map(|item| item * 2).collect();
        assert_eq!(super::map(&items, |item| item * 2), doubled);
    }
}
