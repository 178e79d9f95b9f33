//! Many requests on a few threads.

use super::{Client, Reply, Request};
use anyhow::{Error, Result};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;

/// Asks all of `requests`, up to `concurrency` at a time, and hands each reply with its request's index to `each`,
/// on this thread and as they come. After a failure no request is begun; replies under way still reach `each`.
///
/// # Errors
/// The failure with the lowest index among those met, with that index.
pub fn complete_all(
    client: &Client,
    requests: &[Request],
    concurrency: usize,
    mut each: impl FnMut(usize, Reply) -> Result<()>,
) -> Result<(), (usize, Error)> {
    let (next, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let (sender, replies) = mpsc::channel();
        for _ in 0..concurrency.clamp(1, requests.len().max(1)) {
            let (sender, next, stop) = (sender.clone(), &next, &stop);
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(request) = requests.get(index) else { return };
                    let Some(reply) = client.complete(request, stop).transpose() else { return };
                    if reply.is_err() {
                        stop.store(true, Ordering::Relaxed);
                    }
                    if sender.send((index, reply)).is_err() {
                        return;
                    }
                }
            });
        }
        drop(sender);
        let mut failed: Option<(usize, Error)> = None;
        for (index, reply) in replies {
            if let Err(error) = reply.and_then(|reply| each(index, reply)) {
                stop.store(true, Ordering::Relaxed);
                if failed.as_ref().is_none_or(|(first, _)| index < *first) {
                    failed = Some((index, error));
                }
            }
        }
        failed.map_or(Ok(()), Err)
    })
}
