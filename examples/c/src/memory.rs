//! Memory that C hands over: what can be checked about it is checked here, and nowhere else.

use crate::LdynStatus;
use core::slice;

/// An array that is read.
///
/// # Safety
///
/// `data` leads to `len` numbers that nobody writes to while the result is used, or is null.
pub(crate) unsafe fn input<'a>(data: *const f64, len: usize) -> Result<&'a [f64], LdynStatus> {
    check(data, len)?;
    // SAFETY: not null, aligned, of a possible size; the rest is the caller's word.
    Ok(unsafe { slice::from_raw_parts(data, len) })
}

/// An array that is written, and overlaps none of `others`.
///
/// # Safety
///
/// As [`input`]; and nobody else reads or writes it. What C left in it is some number or other, and is not read.
pub(crate) unsafe fn output<'a>(
    data: *mut f64,
    len: usize,
    others: &[(*const f64, usize)],
) -> Result<&'a mut [f64], LdynStatus> {
    check(data, len)?;
    apart(data, len, others)?;
    // SAFETY: not null, aligned, of a possible size, apart from the others; the rest is the caller's word.
    Ok(unsafe { slice::from_raw_parts_mut(data, len) })
}

/// A record that is written, and overlaps none of `others`.
///
/// # Safety
///
/// `record` leads to one record that nobody else reads or writes, or is null.
pub(crate) unsafe fn place<'a, R>(
    record: *mut R,
    others: &[(*const f64, usize)],
) -> Result<&'a mut R, LdynStatus> {
    check(record, 1)?;
    apart(record, 1, others)?;
    // SAFETY: not null, aligned, apart from the others; the rest is the caller's word.
    Ok(unsafe { &mut *record })
}

fn check<T>(data: *const T, len: usize) -> Result<(), LdynStatus> {
    if data.is_null() {
        return Err(LdynStatus::Null);
    }
    if !data.is_aligned() {
        return Err(LdynStatus::Misaligned);
    }
    // The longest that a slice may be.
    let bytes = len.checked_mul(size_of::<T>()).filter(|&bytes| bytes <= isize::MAX as usize);
    let end = bytes.and_then(|bytes| data.addr().checked_add(bytes));
    if end.is_some() { Ok(()) } else { Err(LdynStatus::Length) }
}

fn apart<T>(data: *const T, len: usize, others: &[(*const f64, usize)]) -> Result<(), LdynStatus> {
    let [start, end] = ends(data, len);
    let meets = others.iter().map(|&(other, len)| ends(other, len)).any(|[a, b]| start < b && a < end);
    if meets { Err(LdynStatus::Overlap) } else { Ok(()) }
}

/// The first address and the one behind the last.
fn ends<T>(data: *const T, len: usize) -> [usize; 2] {
    [data.addr(), data.addr().saturating_add(len.saturating_mul(size_of::<T>()))]
}
