//! Fields of kernel structures that the probes read. rustc emits no CO-RE relocations, so the
//! loader looks the offsets up in the running kernel's BTF and hands them in as one global.

macro_rules! offsets {
    ($($field:ident: $path:literal,)*) => {
        /// Offsets in bytes, in the running kernel.
        #[repr(C)]
        #[derive(Debug, Clone, Copy)]
        pub struct Offsets {
            $(#[doc = concat!("Offset of `", $path, "`.")] pub $field: u32,)*
        }

        impl Offsets {
            /// No offset is known yet.
            pub const UNSET: Self = Self { $($field: 0,)* };
        }

        /// `structure.field` for each `u32` of [`Offsets`], in its order; `structure.field in bits`
        /// where it may begin within a byte, `sizeof structure` for how long one is.
        pub const OFFSET_PATHS: &[&str] = &[$($path,)*];
    };
}

/// Where the kernel has its memory, of which it maps every page (Documentation/arch/x86/x86_64/mm.rst).
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pages {
    /// Address of the variable that says where the first page is.
    pub page_offset_base: u64,
    /// Address of the variable that says where the first `struct page` is.
    pub vmemmap_base: u64,
    /// Bytes of a `struct page`; 0 where something of this is not known.
    pub page_size: u64,
}

impl Pages {
    /// Nothing is known.
    pub const UNKNOWN: Self = Self {
        page_offset_base: 0,
        vmemmap_base: 0,
        page_size: 0,
    };
}

/// Stands for the offset of a field that the running kernel does not have. Programs that read it are
/// refused by the verifier: no pointer may go that far (`BPF_MAX_VAR_OFF` in
/// include/linux/bpf_verifier.h).
pub const MISSING: u32 = 1 << 30;

offsets! {
    task_tgid: "task_struct.tgid",
    task_pid: "task_struct.pid",
    task_leader: "task_struct.group_leader",
    task_start: "task_struct.start_boottime",
    task_comm: "task_struct.comm",
    task_cred: "task_struct.cred",
    task_thread_info: "task_struct.thread_info",
    thread_info_status: "thread_info.status",
    regs_orig_ax: "pt_regs.orig_ax",
    regs_si: "pt_regs.si",
    regs_dx: "pt_regs.dx",
    regs_cx: "pt_regs.cx",
    regs_r10: "pt_regs.r10",
    task_fs: "task_struct.fs",
    task_nsproxy: "task_struct.nsproxy",
    nsproxy_mnt: "nsproxy.mnt_ns",
    fs_root: "fs_struct.root",
    task_mm: "task_struct.mm",
    task_signal: "task_struct.signal",
    task_thread_pid: "task_struct.thread_pid",
    task_real_parent: "task_struct.real_parent",
    pid_level: "pid.level",
    pid_numbers: "pid.numbers",
    task_exit_code: "task_struct.exit_code",
    cred_uid: "cred.uid",
    cred_euid: "cred.euid",
    cred_fsuid: "cred.fsuid",
    cred_fsgid: "cred.fsgid",
    cred_inheritable: "cred.cap_inheritable",
    cred_caps: "cred.cap_effective",
    file_path: "file.f_path",
    file_inode: "file.f_inode",
    file_flags: "file.f_flags",
    file_mode: "file.f_mode",
    file_private: "file.private_data",
    file_pos: "file.f_pos",
    file_op: "file.f_op",
    file_size: "sizeof file",
    path_dentry: "path.dentry",
    path_mnt: "path.mnt",
    vfsmount_root: "vfsmount.mnt_root",
    mount_mnt: "mount.mnt",
    mount_parent: "mount.mnt_parent",
    mount_point: "mount.mnt_mountpoint",
    mount_ns: "mount.mnt_ns",
    dentry_inode: "dentry.d_inode",
    dentry_name: "dentry.d_name",
    dentry_parent: "dentry.d_parent",
    qstr_name: "qstr.name",
    inode_mode: "inode.i_mode",
    inode_uid: "inode.i_uid",
    inode_ino: "inode.i_ino",
    inode_sb: "inode.i_sb",
    inode_nlink: "inode.i_nlink",
    sb_dev: "super_block.s_dev",
    sb_flags: "super_block.s_flags",
    filename_name: "filename.name",
    open_flag: "open_flags.open_flag",
    open_mode: "open_flags.mode",
    open_lookup: "open_flags.lookup_flags",
    bprm_file: "linux_binprm.file",
    bprm_filename: "linux_binprm.filename",
    bprm_interp: "linux_binprm.interp",
    mm_start_code: "mm_struct.start_code",
    mm_arg_start: "mm_struct.arg_start",
    mm_arg_end: "mm_struct.arg_end",
    mm_env_start: "mm_struct.env_start",
    mm_env_end: "mm_struct.env_end",
    fs_pwd: "fs_struct.pwd",
    vma_flags: "vm_area_struct.vm_flags",
    vma_file: "vm_area_struct.vm_file",
    vma_anon: "vm_area_struct.anon_vma",
    task_files: "task_struct.files",
    files_fdt: "files_struct.fdt",
    fdtable_max: "fdtable.max_fds",
    fdtable_fd: "fdtable.fd",
    signal_live: "signal_struct.live",
    signal_flags: "signal_struct.flags",
    signal_group_exit_code: "signal_struct.group_exit_code",
    socket_type: "socket.type",
    socket_file: "socket.file",
    socket_sk: "socket.sk",
    sock_common: "sock.__sk_common",
    skc_family: "sock_common.skc_family",
    skc_daddr: "sock_common.skc_daddr",
    skc_rcv_saddr: "sock_common.skc_rcv_saddr",
    skc_dport: "sock_common.skc_dport",
    skc_num: "sock_common.skc_num",
    skc_v6_daddr: "sock_common.skc_v6_daddr",
    skc_v6_rcv_saddr: "sock_common.skc_v6_rcv_saddr",
    msg_name: "msghdr.msg_name",
    msg_namelen: "msghdr.msg_namelen",
    msg_iter: "msghdr.msg_iter",
    iter_type: "iov_iter.iter_type",
    iter_offset: "iov_iter.iov_offset",
    iter_ubuf: "iov_iter.ubuf",
    iter_count: "iov_iter.count",
    pipe_head: "pipe_inode_info.head",
    pipe_tail: "pipe_inode_info.tail",
    pipe_ring_size: "pipe_inode_info.ring_size",
    pipe_bufs: "pipe_inode_info.bufs",
    io_file: "io_kiocb.file",
    io_opcode: "io_kiocb.opcode",
    io_ring: "io_kiocb.ctx",
    ring_compat_bit: "io_ring_ctx.compat in bits",
    io_rw_addr: "io_rw.addr",
    io_rw_len: "io_rw.len",
    kiocb_file: "kiocb.ki_filp",
    kiocb_pos: "kiocb.ki_pos",
    kiocb_flags: "kiocb.ki_flags",
}
