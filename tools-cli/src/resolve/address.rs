//! Addresses by what they are counted from; mixing them up is a type error.

/// An address in the running kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KernelAddr(pub u64);

/// Bytes from the start of a file; what the kernel wants of a uprobe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FileOffset(pub u64);

/// An address as an ELF file gives it, before it is loaded anywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct VirtAddr(pub u64);
