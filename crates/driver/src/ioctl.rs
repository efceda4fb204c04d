//! Makes the system calls for which there is no safe wrapper: freezing file systems, loop devices,
//! how XFS takes room, and the fork of a process that thaws if we cannot.
//!
//! It does not know what is frozen or attached, nor why.
#![expect(
    unsafe_code,
    reason = "the kernel offers these through ioctl and fork alone; each use says why it is sound"
)]

use std::ffi::{c_int, c_void};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::time::Duration;

use rustix::io::Errno;
use rustix::ioctl::{Getter, Ioctl, IoctlOutput, NoArg, Opcode, Setter, opcode};
use rustix::process::Pid;

// linux/fs.h
const FIFREEZE: Opcode = opcode::read_write::<c_int>(b'X', 119);
const FITHAW: Opcode = opcode::read_write::<c_int>(b'X', 120);
// linux/loop.h
const LOOP_CLR_FD: Opcode = 0x4C01;
const LOOP_GET_STATUS64: Opcode = 0x4C05;
const LOOP_SET_CAPACITY: Opcode = 0x4C07;
const LOOP_CONFIGURE: Opcode = 0x4C0A;
const LOOP_CTL_GET_FREE: Opcode = 0x4C82;
const FS_IOC_FSGETXATTR: Opcode = opcode::read::<Attributes>(b'X', 31);
const FS_IOC_FSSETXATTR: Opcode = opcode::write::<Attributes>(b'X', 32);
// xfs/libxfs/xfs_fs.h
const XFS_IOC_FREE_EOFBLOCKS: Opcode = opcode::read::<Reclaim>(b'X', 58);

/// `Attributes::cow_unit` counts.
const FS_XFLAG_COWEXTSIZE: u32 = 0x0001_0000;
/// Wait for what is under way.
const XFS_EOF_FLAGS_SYNC: u32 = 1;

/// The device goes when its last user does.
pub(crate) const LO_FLAGS_AUTOCLEAR: u32 = 4;
/// The file's blocks are not cached a second time.
pub(crate) const LO_FLAGS_DIRECT_IO: u32 = 16;

/// Lets nothing more be written to a file system, and writes out what is under way.
///
/// `folder` is any open file or folder on it. `BUSY`: somebody froze it before.
pub(crate) fn freeze(folder: impl AsFd) -> Result<(), Errno> {
    // SAFETY: the kernel takes no argument for this code, and touches no memory of ours.
    unsafe { rustix::ioctl::ioctl(folder, NoArg::<FIFREEZE>::new()) }
}

/// Undoes [`freeze`]. `INVAL`: it is not frozen.
pub(crate) fn thaw(folder: impl AsFd) -> Result<(), Errno> {
    // SAFETY: as for freezing.
    unsafe { rustix::ioctl::ioctl(folder, NoArg::<FITHAW>::new()) }
}

/// `struct loop_info64`: what the kernel knows of an attached device.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub(crate) struct LoopInfo {
    /// Of the file behind it, as in `st_dev`.
    pub(crate) device: u64,
    pub(crate) inode: u64,
    rdevice: u64,
    offset: u64,
    size_limit: u64,
    number: u32,
    encrypt_type: u32,
    encrypt_key_size: u32,
    pub(crate) flags: u32,
    file_name: [u8; 64],
    crypt_name: [u8; 64],
    encrypt_key: [u8; 32],
    init: [u64; 2],
}

/// `struct loop_config`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
struct LoopConfig {
    fd: u32,
    block_size: u32,
    info: LoopInfo,
    reserved: [u64; 8],
}

/// Answers with a number instead of writing one.
struct GetFree;

// SAFETY: the code is that of LOOP_CTL_GET_FREE, which takes no argument and answers with the
// number of a device.
unsafe impl Ioctl for GetFree {
    type Output = u32;

    const IS_MUTATING: bool = false;

    fn opcode(&self) -> Opcode {
        LOOP_CTL_GET_FREE
    }

    fn as_ptr(&mut self) -> *mut c_void {
        std::ptr::null_mut()
    }

    unsafe fn output_from_ptr(answer: IoctlOutput, _: *mut c_void) -> Result<u32, Errno> {
        u32::try_from(answer).map_err(|_| Errno::INVAL)
    }
}

/// The number of a loop device that was free a moment ago. `control` is `/dev/loop-control`.
pub(crate) fn free_loop(control: impl AsFd) -> Result<u32, Errno> {
    // SAFETY: see `GetFree`.
    unsafe { rustix::ioctl::ioctl(control, GetFree) }
}

/// Puts a file behind a free loop device, in one step. `BUSY`: it is free no more.
pub(crate) fn configure_loop(
    device: impl AsFd,
    file: BorrowedFd<'_>,
    block_size: u32,
    flags: u32,
    name: &[u8],
) -> Result<(), Errno> {
    let mut file_name = [0; 64];
    // The kernel cuts it off as well; it is for people.
    let shown = name.len().min(file_name.len() - 1);
    file_name[..shown].copy_from_slice(&name[..shown]);
    let config = LoopConfig {
        fd: u32::try_from(file.as_raw_fd()).map_err(|_| Errno::BADF)?,
        block_size,
        info: LoopInfo {
            device: 0,
            inode: 0,
            rdevice: 0,
            offset: 0,
            size_limit: 0,
            number: 0,
            encrypt_type: 0,
            encrypt_key_size: 0,
            flags,
            file_name,
            crypt_name: [0; 64],
            encrypt_key: [0; 32],
            init: [0; 2],
        },
        reserved: [0; 8],
    };
    // SAFETY: the kernel reads one `struct loop_config`, which is what it is given.
    unsafe { rustix::ioctl::ioctl(device, Setter::<LOOP_CONFIGURE, _>::new(config)) }
}

/// What is behind a loop device. `NXIO`: nothing.
pub(crate) fn loop_info(device: impl AsFd) -> Result<LoopInfo, Errno> {
    // SAFETY: the kernel writes one `struct loop_info64`, and every value of its bytes is valid.
    unsafe { rustix::ioctl::ioctl(device, Getter::<LOOP_GET_STATUS64, LoopInfo>::new()) }
}

/// Takes the file away from a device, or as soon as nobody uses it.
pub(crate) fn clear_loop(device: impl AsFd) -> Result<(), Errno> {
    // SAFETY: the kernel takes no argument for this code.
    unsafe { rustix::ioctl::ioctl(device, NoArg::<LOOP_CLR_FD>::new()) }
}

/// Makes a device as large as the file behind it.
pub(crate) fn resize_loop(device: impl AsFd) -> Result<(), Errno> {
    // SAFETY: the kernel takes no argument for this code.
    unsafe { rustix::ioctl::ioctl(device, NoArg::<LOOP_SET_CAPACITY>::new()) }
}

/// `struct fsxattr`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
struct Attributes {
    flags: u32,
    unit: u32,
    extents: u32,
    project: u32,
    cow_unit: u32,
    reserved: [u8; 8],
}

/// Where blocks that are shared are written, takes room for this many bytes at once, so that what
/// is written there later lies beside it. `OPNOTSUPP`, `NOTTY` or `INVAL`: this file system does not.
pub(crate) fn set_cow_unit(file: impl AsFd, bytes: u32) -> Result<(), Errno> {
    // SAFETY: the kernel writes one `struct fsxattr`, and every value of its bytes is valid.
    let mut attributes =
        unsafe { rustix::ioctl::ioctl(&file, Getter::<FS_IOC_FSGETXATTR, Attributes>::new())? };
    if attributes.cow_unit == bytes {
        return Ok(());
    }
    attributes.flags |= FS_XFLAG_COWEXTSIZE;
    attributes.cow_unit = bytes;
    // SAFETY: the kernel reads one `struct fsxattr`, which is what it is given.
    unsafe { rustix::ioctl::ioctl(file, Setter::<FS_IOC_FSSETXATTR, _>::new(attributes)) }
}

/// `struct xfs_fs_eofblocks`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
struct Reclaim {
    version: u32,
    flags: u32,
    user: u32,
    group: u32,
    project: u32,
    padding: u32,
    least_size: u64,
    reserved: [u64; 12],
}

/// Gives back room that an XFS took in advance and nobody has written to. `NOTTY`: it is no XFS.
pub(crate) fn reclaim(folder: impl AsFd) -> Result<(), Errno> {
    let all = Reclaim {
        version: 1,
        flags: XFS_EOF_FLAGS_SYNC,
        user: 0,
        group: 0,
        project: 0,
        padding: 0,
        least_size: 0,
        reserved: [0; 12],
    };
    // SAFETY: the kernel reads one `struct xfs_fs_eofblocks`, whatever the direction in the code
    // says, and that is what it is given.
    unsafe { rustix::ioctl::ioctl(folder, Setter::<XFS_IOC_FREE_EOFBLOCKS, _>::new(all)) }
}

/// What the guard's exit code says: it thawed because the time was over.
pub(crate) const LAPSED: i32 = 1;

/// Forks a process that thaws `frozen` when `ears` has come to its end, or when `longest` is over.
///
/// `ears` is the reading end of a pipe of which only the caller has the other end. One byte sent
/// through it lets the guard go without doing anything.
pub(crate) fn fork_guard(
    frozen: &[BorrowedFd<'_>],
    ears: BorrowedFd<'_>,
    longest: Duration,
) -> io::Result<Pid> {
    // All that the child needs is made before: it may not allocate.
    let frozen: Vec<c_int> = frozen.iter().map(AsRawFd::as_raw_fd).collect();
    let ears = ears.as_raw_fd();
    let mut kept = frozen.clone();
    kept.push(ears);
    kept.sort_unstable();
    let longest = c_int::try_from(longest.as_millis()).unwrap_or(c_int::MAX);
    // SAFETY: the child does only what is allowed after a fork of a process with threads: it makes
    // system calls on values made before, allocates nothing, locks nothing, and never returns.
    match unsafe { libc::fork() } {
        // SAFETY: this is the process that was just forked.
        0 => unsafe { guard(&frozen, ears, &kept, longest) },
        child => Pid::from_raw(child)
            .filter(|_| child > 0)
            .ok_or_else(io::Error::last_os_error),
    }
}

/// The life of the guard.
///
/// # Safety
///
/// Only for a process that was just forked.
unsafe fn guard(frozen: &[c_int], ears: c_int, kept: &[c_int], longest: c_int) -> ! {
    // SAFETY: plain system calls; `heard` outlives the call that fills it.
    unsafe {
        // Whoever stops the group of our parent must not stop us.
        libc::setpgid(0, 0);
        let mut next = 0;
        for fd in kept {
            close_from_to(next, *fd);
            next = *fd + 1;
        }
        close_from_to(next, c_int::MAX);
        let mut heard = libc::pollfd {
            fd: ears,
            events: libc::POLLIN,
            revents: 0,
        };
        let mut answer = libc::poll(&raw mut heard, 1, longest);
        while answer < 0 {
            // A signal: wait anew, rather too long than not at all.
            answer = libc::poll(&raw mut heard, 1, longest);
        }
        let mut word = [0_u8; 1];
        if answer > 0 && libc::read(ears, word.as_mut_ptr().cast(), 1) == 1 {
            libc::_exit(0);
        }
        for fd in frozen {
            libc::syscall(libc::SYS_ioctl, *fd, FITHAW, 0);
        }
        libc::_exit(if answer > 0 { 0 } else { LAPSED });
    }
}

/// Closes what lies between, so that the guard keeps nothing of its parent's open: no socket, no
/// lock, and not the other end of its own pipe.
///
/// # Safety
///
/// Only for a process that was just forked.
unsafe fn close_from_to(first: c_int, end: c_int) {
    if first < end {
        // SAFETY: closes file descriptors, which no code of this process will use any more.
        unsafe {
            libc::syscall(libc::SYS_close_range, first, end - 1, 0);
        }
    }
}
