//! Where a library asserts on bad input: its panic becomes an error, told once and quietly.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::sync::Once;

thread_local! {
    /// Whether this thread is inside [`guarded`].
    static GUARDED: Cell<bool> = const { Cell::new(false) };
}
static HOOK: Once = Once::new();

/// What `read` returns, or `None` where it panics; what it was working on must be dropped then.
pub(super) fn guarded<T>(read: impl FnOnce() -> T) -> Option<T> {
    HOOK.call_once(|| {
        let report = take_hook();
        set_hook(Box::new(move |panic| {
            if !GUARDED.get() {
                report(panic);
            }
        }));
    });
    let outer = GUARDED.replace(true);
    let result = catch_unwind(AssertUnwindSafe(read));
    GUARDED.set(outer);
    result.ok()
}

#[test]
fn a_panic_is_nothing_and_its_thread_is_as_before() {
    assert_eq!(guarded(|| 3), Some(3));
    assert_eq!(guarded(|| guarded(|| [1][[1].len()])), Some(None));
    assert!(!GUARDED.get());
}
