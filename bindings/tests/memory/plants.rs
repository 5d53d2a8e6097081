//! Copies that must be found, so that a search that finds none means something.

use core::alloc::{GlobalAlloc, Layout};
use std::alloc::System;
use std::hint::black_box;
use std::io::Read;

use crate::Failure;
use crate::child::HOLDING;
use crate::link::{Link, News, Watched};
use crate::process::writable_memory;
use crate::scan::{Needle, Search};

pub(crate) struct Plant {
    pub(crate) name: &'static str,
    /// How many copies the parent must find at least; none for what the wiping allocator got back.
    least: usize,
}

pub(crate) const PLANTS: &[Plant] = &[
    Plant { name: "planted: a leaked string", least: 1 },
    Plant { name: "planted: a leaked string in UTF-16", least: 1 },
    Plant { name: "planted: a leaked form", least: 1 },
    Plant { name: "planted: a leaked piece", least: 1 },
    Plant { name: "planted: freed without a wipe", least: 1 },
    Plant { name: "planted: on a thread's stack", least: 1 },
    Plant { name: "planted: in a dead frame of a thread's stack", least: 1 },
    Plant { name: "planted: freed by the wiping allocator", least: 0 },
    Plant { name: "planted: grown by the wiping allocator", least: 0 },
];

/// Characters that a form spells in other ways than plain text, between 12 random ones on each side.
pub(crate) fn random_text() -> Result<String, Failure> {
    const LETTERS: &[u8] = b"ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz23456789-_.*";
    let bytes = random_bytes::<24>()?;
    let mut text: String = bytes
        .iter()
        .filter_map(|byte| LETTERS.get(usize::from(*byte) % LETTERS.len()))
        .map(|l| char::from(*l))
        .collect();
    text.insert_str(12, "&+ ü%");
    Ok(text)
}

pub(crate) fn random_bytes<const N: usize>() -> Result<[u8; N], Failure> {
    let mut bytes = [0; N];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// The parent's part.
pub(crate) fn check(plant: &Plant) -> Result<(), Failure> {
    let needle = Needle::new("plant", random_text()?);
    let mut child = Watched::start(&["plant", plant.name])?;
    match child.next()? {
        News::Ask(_) => child.answer(needle.value())?,
        _ => return Err("the child did not ask".into()),
    }
    child.until(HOLDING)?;
    let hits = Search::new(&[needle]).run(&writable_memory(child.id())?);
    let whole = hits.iter().filter(|hit| hit.whole).count();
    println!("{:<45} {whole} + {}", plant.name, hits.len() - whole);
    match plant.least {
        0 if !hits.is_empty() => {
            Err(format!("left behind: {}", hits.iter().map(ToString::to_string).collect::<String>()).into())
        }
        least if hits.len() < least => Err("not found".into()),
        _ => Ok(()),
    }
}

/// The child's part.
pub(crate) fn plant(how: &str, link: &Link) -> Result<(), Failure> {
    let secret = link.ask("plant")?;
    let text = secret.expose();
    match how.strip_prefix("planted: ").unwrap_or_default() {
        "a leaked string" => _ = black_box(Box::leak(text.to_owned().into_boxed_str())),
        "a leaked string in UTF-16" => _ = black_box(text.encode_utf16().collect::<Vec<_>>().leak()),
        "a leaked form" => {
            let form = text.replace('%', "%25").replace('&', "%26").replace('+', "%2B").replace(' ', "+");
            let form = form.replace('ü', "%C3%BC");
            black_box(format!("username=ana&password={form}&scope=openid").leak());
        }
        "a leaked piece" => _ = black_box(text.get(2..10).ok_or("too short")?.to_owned().leak()),
        "freed without a wipe" => {
            secret_freed_by(&System, &secret)?;
            drop(secret);
            return link.reached(HOLDING);
        }
        "freed by the wiping allocator" => {
            drop(black_box(text.to_owned()));
            secret_freed_by(&directauth_ffi::ALLOCATOR, &secret)?;
        }
        "grown by the wiping allocator" => {
            let mut grown = String::with_capacity(text.len());
            grown.push_str(text);
            for _ in 0..black_box(10) {
                grown.reserve_exact(grown.capacity());
            }
            drop(black_box(grown));
        }
        "on a thread's stack" | "in a dead frame of a thread's stack" => return on_a_stack(how, secret, link),
        _ => return Err("there is no such plant".into()),
    }
    drop(secret);
    link.reached(HOLDING)
}

/// Writes a copy into a block of its own and gives it back. It is large, so that the bytes that an allocator writes into
/// free blocks do not cover the copy in the middle.
fn secret_freed_by(allocator: &impl GlobalAlloc, secret: &directauth::Secret) -> Result<(), Failure> {
    let layout = Layout::from_size_align(1000, 8)?;
    // SAFETY: the size is not zero.
    let block = unsafe { allocator.alloc(layout) };
    if block.is_null() {
        return Err("no memory".into());
    }
    // SAFETY: the block has room for the text behind its first half; it was allocated here with this layout.
    unsafe {
        block.add(500).copy_from_nonoverlapping(secret.expose().as_ptr(), secret.len());
        black_box(block);
        allocator.dealloc(block, layout);
    }
    Ok(())
}

/// On a thread that stands still: in the frame that it stands in, or in one that it has returned from.
fn on_a_stack(how: &str, secret: directauth::Secret, link: &Link) -> Result<(), Failure> {
    let is_live = !how.contains("dead");
    std::thread::scope(|scope| {
        let thread = scope.spawn(move || {
            if is_live {
                let mut frame = [0_u8; 64];
                copy(&mut frame, &secret);
                drop(secret);
                black_box(&frame);
                let result = link.reached(HOLDING);
                black_box(&frame);
                return result;
            }
            deep(&secret);
            drop(secret);
            link.reached(HOLDING)
        });
        thread.join().map_err(|_| "the thread panicked")?
    })
}

#[inline(never)]
fn deep(secret: &directauth::Secret) {
    // Far below, so that later calls do not cover it.
    let mut frame = [0_u8; 32 * 1024];
    copy(black_box(&mut frame), secret);
    black_box(&frame);
}

fn copy(frame: &mut [u8], secret: &directauth::Secret) {
    for (to, from) in frame.iter_mut().zip(secret.expose().bytes()) {
        *to = from;
    }
}
