use core::cell::{Cell, UnsafeCell};

use super::*;

const SIZE: usize = 16 * 1024;

/// Gives out pieces of one buffer, never twice, and keeps all of it readable: freed memory can be looked at.
struct Arena {
    memory: UnsafeCell<Memory>,
    used: Cell<usize>,
    freed: Cell<usize>,
}

#[repr(align(64))]
#[expect(dead_code, reason = "read through pointers")]
struct Memory([u8; SIZE]);

/// What the arena holds before anybody writes to it.
const UNTOUCHED: u8 = 0xA5;

impl Arena {
    fn new() -> Self {
        Self { memory: UnsafeCell::new(Memory([UNTOUCHED; SIZE])), used: Cell::new(0), freed: Cell::new(0) }
    }

    fn start(&self) -> *mut u8 {
        self.memory.get().cast()
    }

    /// The bytes of the arena from `block` on.
    fn read(&self, block: *const u8, size: usize) -> Vec<u8> {
        let offset = block.addr() - self.start().addr();
        assert!(offset + size <= SIZE);
        // SAFETY: the bytes lie in the arena, are initialised, and no reference to them is alive.
        (offset..offset + size).map(|at| unsafe { self.start().add(at).read() }).collect()
    }
}

// SAFETY: blocks are aligned, do not overlap, and live as long as the arena.
unsafe impl GlobalAlloc for Arena {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let start = self.used.get().next_multiple_of(layout.align());
        if layout.align() > align_of::<Memory>() || start + layout.size() > SIZE {
            return ptr::null_mut();
        }
        self.used.set(start + layout.size());
        // SAFETY: `start` lies in the arena.
        unsafe { self.start().add(start) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as the caller's.
        let block = unsafe { self.alloc(layout) };
        if !block.is_null() {
            // SAFETY: the block was just given out with this size.
            unsafe { block.write_bytes(0, layout.size()) };
        }
        block
    }

    unsafe fn dealloc(&self, _block: *mut u8, layout: Layout) {
        self.freed.set(self.freed.get() + layout.size());
    }
}

fn layout(size: usize, align: usize) -> Layout {
    Layout::from_size_align(size, align).unwrap()
}

/// A block of `layout` full of `byte`.
fn filled(allocator: &WipingAllocator<Arena>, layout: Layout, byte: u8) -> *mut u8 {
    // SAFETY: no size in these tests is zero.
    let block = unsafe { allocator.alloc(layout) };
    assert!(!block.is_null());
    // SAFETY: the block has this size.
    unsafe { block.write_bytes(byte, layout.size()) };
    block
}

#[test]
fn freed_memory_is_wiped_to_its_last_byte_and_not_beyond() {
    for size in (1..=130).chain([255, 256, 257, 4096]) {
        for align in [1, 2, 8, 64] {
            let allocator = WipingAllocator::over(Arena::new());
            let before = filled(&allocator, layout(3, 1), 0x11);
            let block = filled(&allocator, layout(size, align), 0x22);
            let after = filled(&allocator, layout(3, 1), 0x33);
            // SAFETY: allocated above with this layout.
            unsafe { allocator.dealloc(block, layout(size, align)) };
            let arena = &allocator.inner;
            assert_eq!(arena.read(block, size), vec![0; size], "{size} {align}");
            assert_eq!((arena.read(before, 3), arena.read(after, 3)), (vec![0x11; 3], vec![0x33; 3]), "{size} {align}");
            assert_eq!(arena.freed.get(), size, "the inner allocator gets it back");
        }
    }
}

#[test]
fn a_block_that_grows_or_shrinks_moves_and_leaves_nothing_behind() {
    for (old, new) in [(1, 2), (24, 25), (24, 4000), (100, 7), (64, 64)] {
        let allocator = WipingAllocator::over(Arena::new());
        let block = filled(&allocator, layout(old, 8), 0x44);
        // SAFETY: allocated above with this layout; the new size is not zero.
        let moved = unsafe { allocator.realloc(block, layout(old, 8), new) };
        let arena = &allocator.inner;
        assert_ne!(moved, block);
        assert!(moved.addr().is_multiple_of(8));
        assert_eq!(arena.read(moved, old.min(new)), vec![0x44; old.min(new)], "{old} {new}");
        assert_eq!(arena.read(block, old), vec![0; old], "{old} {new}");
    }
}

#[test]
fn a_block_that_cannot_grow_stays_as_it_is() {
    let allocator = WipingAllocator::over(Arena::new());
    let block = filled(&allocator, layout(32, 8), 0x55);
    // SAFETY: allocated above with this layout; the new size is not zero.
    let moved = unsafe { allocator.realloc(block, layout(32, 8), SIZE) };
    assert!(moved.is_null());
    assert_eq!(allocator.inner.read(block, 32), vec![0x55; 32]);
    assert_eq!(allocator.inner.freed.get(), 0);
}

#[test]
fn zeroed_memory_comes_from_the_inner_allocator() {
    let allocator = WipingAllocator::over(Arena::new());
    // SAFETY: the size is not zero.
    let block = unsafe { allocator.alloc_zeroed(layout(100, 4)) };
    assert_eq!(allocator.inner.read(block, 100), vec![0; 100]);
    assert_eq!(allocator.inner.used.get(), 100);
}

#[test]
fn collections_work_on_the_system_allocator_under_it() {
    let allocator = WipingAllocator::new();
    let mut size = 1;
    // SAFETY: the size is not zero.
    let mut block = unsafe { allocator.alloc(layout(size, 1)) };
    // SAFETY: the block has one byte.
    unsafe { block.write(0) };
    // As a vector that is pushed to.
    while size < 3000 {
        // SAFETY: allocated with this layout; the new size is not zero.
        block = unsafe { allocator.realloc(block, layout(size, 1), 2 * size) };
        assert!(!block.is_null());
        for at in size..2 * size {
            // SAFETY: within the block's new size.
            unsafe { block.add(at).write((at % 251) as u8) };
        }
        size *= 2;
    }
    for at in 0..size {
        // SAFETY: within the block, written above.
        assert_eq!(unsafe { block.add(at).read() }, (at % 251) as u8);
    }
    // SAFETY: allocated with this layout.
    unsafe { allocator.dealloc(block, layout(size, 1)) };
}
