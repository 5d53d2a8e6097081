//! An allocator that wipes memory before it gives it back.
//!
//! Secrets of this library wipe themselves; the copies that others make do not: an HTTP parser's read buffer, a TLS record,
//! the old buffer of a `String` that grew. All of them are heap memory, and all heap memory passes through here when it is
//! freed. What never passes: stacks, registers, and memory that other allocators own.

use core::alloc::{GlobalAlloc, Layout};
use core::ptr;
use std::alloc::System;

/// The system's allocator, or another one, with every block overwritten before it is freed.
///
/// Growing or shrinking a block always moves it: the inner allocator's own `realloc` may move it too, and then frees the old
/// block without a wipe. For buffers of many megabytes that costs a copy that the system could have avoided; give them
/// their capacity at once.
#[derive(Debug, Default)]
pub struct WipingAllocator<A = System> {
    inner: A,
}

impl WipingAllocator {
    /// Over the system's allocator.
    pub const fn new() -> Self {
        Self::over(System)
    }
}

impl<A> WipingAllocator<A> {
    /// Over another allocator.
    pub const fn over(inner: A) -> Self {
        Self { inner }
    }
}

// SAFETY: blocks come from `inner`, which keeps the contract of `GlobalAlloc`, with the layouts that the caller gave, and go
// back to it with the same. In between this only writes to a block while it is still allocated, within its size. Nothing
// here allocates or unwinds.
unsafe impl<A: GlobalAlloc> GlobalAlloc for WipingAllocator<A> {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller keeps the contract of `alloc`, which is the same for `inner`.
        unsafe { self.inner.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as `alloc`.
        unsafe { self.inner.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the caller hands over a block of this allocator that was allocated with `layout`; nobody else uses it.
        unsafe { wipe(block, layout.size()) };
        // SAFETY: the block came from `inner` with this layout.
        unsafe { self.inner.dealloc(block, layout) };
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // SAFETY: the caller sees to it that `new_size` is not zero and, rounded up to the alignment, fits an `isize`.
        let new_layout = unsafe { Layout::from_size_align_unchecked(new_size, layout.align()) };
        // SAFETY: the size is not zero.
        let new_block = unsafe { self.alloc(new_layout) };
        if !new_block.is_null() {
            let kept = layout.size().min(new_size);
            // SAFETY: `kept` bytes lie in both blocks, which are two because both are allocated now.
            unsafe { ptr::copy_nonoverlapping(block, new_block, kept) };
            // SAFETY: the caller gives up `block`, which was allocated with `layout`.
            unsafe { self.dealloc(block, layout) };
        }
        new_block
    }
}

/// Overwrites `size` bytes, although nobody will read them.
///
/// The barrier is an empty piece of assembly that may read the block, so the writes must have happened before it; they
/// stay a plain, fast fill.
///
/// # Safety
/// `block` is valid for writes of `size` bytes.
unsafe fn wipe(block: *mut u8, size: usize) {
    // SAFETY: the caller's promise.
    unsafe { ptr::write_bytes(block, 0, size) };
    // SAFETY: the bytes were just initialised, and nobody writes to them during the call.
    zeroize::optimization_barrier(unsafe { &*ptr::slice_from_raw_parts(block, size) });
}

#[cfg(test)]
mod tests;
