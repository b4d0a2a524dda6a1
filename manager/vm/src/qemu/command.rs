//! QEMU's `microvm`, with nothing in it that the guest does not need.

use std::{
    fs::{self, File},
    io,
    os::{
        fd::{AsRawFd, RawFd},
        unix::fs::MetadataExt,
    },
    path::Path,
    process::Command,
};

use super::{Launch, Limits, Machine, Spawn, first_line};
use crate::{
    VmConfig, VmError,
    accel::{Engine, INSTRUCTION_NS},
    cpu,
};

/// QEMU, 7.2 or later.
#[derive(Debug, Clone)]
pub(crate) struct Qemu {
    program: String,
}

impl Qemu {
    pub(crate) fn new(program: &str) -> Self {
        Self {
            program: program.to_owned(),
        }
    }
}

impl Machine for Qemu {
    fn version(&self) -> Result<String, VmError> {
        first_line(&self.program, "--version").map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => VmError::Program {
                program: "qemu-system-x86_64",
                package: "qemu-system-x86",
            },
            _ => VmError::Io {
                action: format!("run {}", self.program),
                source: error,
            },
        })
    }

    fn shape(&self, engine: Engine, config: &VmConfig) -> Vec<String> {
        let mut shape = machine(engine, config);
        shape.push(kernel_arguments(engine));
        shape.extend(DEVICES.iter().map(|device| (*device).to_owned()));
        shape
    }

    fn command(&self, launch: &Launch) -> Result<Spawn, VmError> {
        let Launch {
            engine,
            config,
            channels,
            ..
        } = launch;
        let mut files = Files::default();
        let share = |file: &File| {
            file.try_clone()
                .map_err(VmError::io("duplicate a descriptor"))
        };
        let state = files.add(share(&launch.state)?);
        let memory = files.add(share(launch.memory)?);
        let root = files.add(share(&launch.root)?);
        let slot = files.add(share(&launch.slot)?);
        let control = files.add(share(&channels.control)?);
        let port = files.add(share(&channels.port)?);
        let console = files.add(share(&channels.console)?);
        let errors = share(&channels.errors)?;

        let mut command = Command::new(&self.program);
        command.stderr(errors).args(machine(*engine, config));
        // Shared while the template is made, private in clones.
        let shared = if launch.boot.is_some() { "on" } else { "off" };
        command.arg("-object").arg(format!(
            "memory-backend-file,id=ram,size={}M,mem-path=/proc/self/fd/{memory},share={shared}",
            config.memory_mib
        ));
        for (node, fd) in [("root", root), ("slot", slot)] {
            command
                .arg("-add-fd")
                .arg(format!("fd={fd},set={fd}"))
                .arg("-blockdev")
                .arg(format!(
                    "driver=file,node-name={node},filename=/dev/fdset/{fd},read-only=on,locking=off"
                ));
        }
        for (channel, fd) in [("control", control), ("port", port), ("console", console)] {
            command
                .arg("-chardev")
                .arg(format!("socket,id={channel},fd={fd}"));
        }
        command.args([
            "-mon",
            "chardev=control,mode=control",
            "-serial",
            "chardev:console",
        ]);
        for device in DEVICES {
            command.args(["-device", device]);
        }
        if let Some((kernel, initrd)) = &launch.boot {
            let (kernel, initrd) = (files.add(share(kernel)?), files.add(share(initrd)?));
            let mut arguments = kernel_arguments(*engine);
            let counter = match engine {
                Engine::Kvm => None,
                Engine::Tcg => Some(cpu::tsc_khz()),
                // It is QEMU's own clock, of nanoseconds.
                Engine::Counted => Some(1_000_000),
            };
            if let Some(khz) = counter {
                arguments.push_str(&format!(" tsc=reliable tsc_early_khz={khz}"));
            }
            command
                .arg("-kernel")
                .arg(format!("/proc/self/fd/{kernel}"))
                .arg("-initrd")
                .arg(format!("/proc/self/fd/{initrd}"))
                .args(["-append", &arguments]);
        } else {
            command.args(["-S", "-incoming", "defer"]);
        }
        let memory_bytes = config.memory_mib << 20;
        let limits = Limits {
            // The emulator's translated code, its stacks and libraries come on top.
            address_space: memory_bytes + (6 << 30),
            cpu_seconds: (config.wall.as_secs() + 300) * u64::from(config.cpus + 1),
            file_size: if launch.boot.is_some() {
                memory_bytes + (1 << 30)
            } else {
                0
            },
        };
        Ok(Spawn {
            command,
            files: files.0,
            state,
            limits,
            group: (*engine == Engine::Kvm)
                .then(|| group_of(&config.kvm))
                .flatten(),
        })
    }
}

/// In this order: it decides which is `/dev/vda`.
const DEVICES: [&str; 4] = [
    "virtio-blk-device,drive=root,serial=root",
    "virtio-blk-device,drive=slot,serial=in0",
    "virtio-serial-device",
    "virtserialport,chardev=port,name=data.0",
];

fn machine(engine: Engine, config: &VmConfig) -> Vec<String> {
    let accel = match engine {
        Engine::Kvm => "kvm",
        // tests/vm_kvm_proof.rs says the same, and the same processor.
        Engine::Tcg => "tcg,thread=multi",
        Engine::Counted => "tcg,thread=single",
    };
    let cpu = match engine {
        Engine::Kvm => "host",
        // QEMU 7.2's parallel emulation of cmpxchg16b brought guest kernels down in their slab
        // allocator; without the instruction the kernel takes its other road. What is fast on a
        // processor, copying byte by byte, is slow where each byte is emulated: without `erms` kernel
        // and C library copy by words.
        Engine::Tcg | Engine::Counted => "max,-cx16,-erms",
    };
    let mut arguments = [
        "-no-user-config",
        "-nodefaults",
        "-no-reboot",
        "-display",
        "none",
        "-sandbox",
        "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny",
        "-machine",
        "microvm,memory-backend=ram,pcie=off,rtc=on,usb=off,dump-guest-core=off",
        "-global",
        "virtio-mmio.force-legacy=false",
        "-accel",
        accel,
        "-cpu",
        cpu,
        "-smp",
        &config.cpus.to_string(),
        "-m",
        &format!("{}M", config.memory_mib),
    ]
    .map(str::to_owned)
    .to_vec();
    if engine == Engine::Counted {
        let shift = INSTRUCTION_NS.ilog2();
        arguments.extend(["-icount".into(), format!("shift={shift}")]);
    }
    arguments
}

/// Group that may open KVM's device, so that the unprivileged hypervisor may.
fn group_of(device: &Path) -> Option<u32> {
    let device = fs::metadata(device).ok()?;
    (device.mode() & 0o060 == 0o060).then(|| device.gid())
}

/// BPF comes first among the security modules that can deny: one before it, such as Landlock, which any
/// program may use, would hide an attempt. What BPF counts for each processor is exact where the kernel
/// lets nobody else have the processor meanwhile. A panic ends the machine at once.
fn kernel_arguments(engine: Engine) -> String {
    let mut arguments =
        "console=ttyS0 quiet panic=-1 reboot=t preempt=voluntary lsm=bpf,landlock,lockdown"
            .to_owned();
    if engine != Engine::Kvm {
        // Emulation leaks nothing by speculation, and pays a tenth for the defence.
        arguments.push_str(" mitigations=off");
    }
    arguments
}

#[derive(Default)]
struct Files(Vec<File>);

impl Files {
    /// The number that this file has, here and in the child.
    fn add(&mut self, file: File) -> RawFd {
        let number = file.as_raw_fd();
        self.0.push(file);
        number
    }
}

#[cfg(test)]
mod tests {
    use pyti_trace::wire::PORT_NAME;

    use super::{
        super::{Channels, SLOT_SERIAL},
        *,
    };

    /// Every device that a machine has besides its processors and its memory.
    const KNOWN: [&str; 4] = [
        "virtio-blk-device,drive=root,serial=root",
        "virtio-blk-device,drive=slot,serial=in0",
        "virtio-serial-device",
        "virtserialport,chardev=port,name=data.0",
    ];

    /// The arguments of a machine that boots, or of a clone. No file of it is a real one.
    fn arguments(engine: Engine, boots: bool) -> Vec<String> {
        let null = || File::open("/dev/null").unwrap();
        let launch = Launch {
            engine,
            config: &VmConfig::default(),
            memory: &null(),
            boot: boots.then(|| (null(), null())),
            state: null(),
            root: null(),
            slot: null(),
            channels: Channels {
                control: null(),
                port: null(),
                console: null(),
                errors: null(),
            },
        };
        let spawn = Qemu::new("qemu").command(&launch).unwrap();
        let arguments = spawn.command.get_args();
        arguments
            .map(|argument| argument.to_str().unwrap().to_owned())
            .collect()
    }

    #[test]
    fn a_machine_has_the_four_known_devices_and_a_sandbox() {
        for engine in [Engine::Kvm, Engine::Tcg, Engine::Counted] {
            let shape = Qemu::new("qemu").shape(engine, &VmConfig::default());
            assert!(shape.ends_with(&KNOWN.map(str::to_owned)), "{shape:?}");
            for boots in [true, false] {
                let arguments = arguments(engine, boots);
                let values = |option: &str| {
                    let pairs = arguments.windows(2);
                    let of_it = pairs.filter(|pair| pair[0] == option);
                    of_it.map(|pair| pair[1].as_str()).collect::<Vec<_>>()
                };
                assert_eq!(values("-device"), KNOWN, "{arguments:?}");
                for option in ["-nodefaults", "-no-user-config"] {
                    assert!(arguments.iter().any(|argument| argument == option));
                }
                for option in ["-nic", "-net", "-netdev", "-drive", "-virtfs", "-fsdev"] {
                    assert!(!arguments.iter().any(|argument| argument == option));
                }
                let sandbox = values("-sandbox").join(" ");
                let parts: Vec<&str> = sandbox.split(',').collect();
                for part in ["on", "spawn=deny", "elevateprivileges=deny"] {
                    assert!(parts.contains(&part), "{sandbox}");
                }
            }
        }
    }

    #[test]
    fn the_devices_carry_the_names_the_agent_looks_for() {
        assert!(
            DEVICES
                .iter()
                .any(|device| device.ends_with(&format!("name={PORT_NAME}")))
        );
        assert!(
            DEVICES
                .iter()
                .any(|device| device.ends_with(&format!("serial={SLOT_SERIAL}")))
        );
    }

    #[test]
    fn the_shape_tells_engines_and_sizes_apart() {
        let qemu = Qemu::new("qemu");
        let config = VmConfig::default();
        let larger = VmConfig {
            memory_mib: 4096,
            ..VmConfig::default()
        };
        let shape = qemu.shape(Engine::Tcg, &config);
        assert_ne!(shape, qemu.shape(Engine::Kvm, &config));
        assert_ne!(shape, qemu.shape(Engine::Counted, &config));
        assert_ne!(shape, qemu.shape(Engine::Tcg, &larger));
        assert!(!shape.iter().any(|argument| argument.contains("net")));
    }
}
