//! The one state, and the only `unsafe` code.

use crate::model::Model;
use core::cell::UnsafeCell;

struct Cell(UnsafeCell<Model>);

// SAFETY: a module of wasm32 without threads is called by one page, one call after another.
unsafe impl Sync for Cell {}

static MODEL: Cell = Cell(UnsafeCell::new(Model::EMPTY));

/// Calls `f` with the state. `f` must not call back.
pub(crate) fn with<R>(f: impl FnOnce(&mut Model) -> R) -> R {
    // SAFETY: there is no other thread, and no closure given to this function calls it again.
    f(unsafe { &mut *MODEL.0.get() })
}
