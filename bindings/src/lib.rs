//! The library that apps load: the DirectAuth core (`directauth`) with the rules that only a whole library can keep.
//!
//! Today that is one rule, [`WipingAllocator`]: heap memory is wiped before it is given back, so that what the HTTP and TLS
//! libraries, a grown `String` or a dropped parser leave behind holds no secret. Whoever links the core into a program of
//! their own can have the same:
//!
//! ```
//! #[global_allocator]
//! static ALLOCATOR: directauth_ffi::WipingAllocator = directauth_ffi::WipingAllocator::new();
//! # fn main() { assert_eq!(vec![1, 2, 3].len(), 3); }
//! ```
//!
//! It will be the `cdylib` under the Kotlin and Swift packages: UniFFI exports that translate the core's API line by line,
//! with this allocator as the global one. Until then it is an ordinary library with two witnesses beside it:
//!
//! * `tests/memory` looks from a parent process for the password, codes and tokens in a child that signs in;
//! * `examples/size_probe.rs` is a dynamic library that uses all of the core, for `scripts/size` to weigh.

#![deny(unsafe_code, unsafe_op_in_unsafe_fn, clippy::undocumented_unsafe_blocks)]

#[expect(unsafe_code, reason = "an allocator is unsafe by its nature; nothing else in this crate is")]
mod allocator;

pub use allocator::WipingAllocator;
