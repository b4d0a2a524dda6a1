//! Templates: an image booted to the point where the agent waits for work, kept on disk, and the
//! clones that start from there.

mod key;

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use pyti_trace::wire::{FrameKind, Ready};
use tokio::{sync::OnceCell, task::spawn_blocking, time::timeout};

use self::key::{FORMAT, Parts};
use crate::{
    Accel, Home, Image, Progress, Vm, VmError,
    accel::{Engine, KVM, Proof, kvm_opens},
    cpu,
    home::{self, Stage},
    initramfs,
    qemu::{Launch, Machine, Qemu},
    ram,
    shelf::{self, TemplateRecord},
    slot::{proc_path, reopen, slot},
};

/// Size of the machines and where they run.
#[derive(Debug, Clone)]
pub struct VmConfig {
    /// Memory of the guest, MiB.
    pub memory_mib: u64,
    /// Processors of the guest.
    pub cpus: u32,
    /// Wall time of a clone, unless its start says otherwise.
    pub wall: Duration,
    /// Hardware acceleration.
    pub accel: Accel,
    /// The device that must open before KVM is tried at all.
    pub kvm: PathBuf,
    /// The hypervisor's program, looked up in `PATH`.
    pub qemu: String,
}

impl Default for VmConfig {
    fn default() -> Self {
        Self {
            memory_mib: 2048,
            cpus: 2,
            wall: Duration::from_secs(600),
            accel: Accel::Auto,
            kvm: KVM.into(),
            qemu: "qemu-system-x86_64".into(),
        }
    }
}

/// What a clone is started with.
#[derive(Debug, Default)]
pub struct StartOptions {
    /// A tar for the input device (serial `in0`), of at most 4 GiB; it is extended to the device's
    /// size, so it must be open for writing. The clone only reads it.
    pub input: Option<File>,
    /// Wall time, instead of the configuration's.
    pub wall: Option<Duration>,
}

/// A template, ready to be cloned.
#[derive(Debug)]
pub struct Template {
    record: TemplateRecord,
    machine: Arc<dyn Machine>,
    engine: Engine,
    config: VmConfig,
    root: File,
    saved_memory: Arc<File>,
    saved_state: File,
    memory: OnceCell<File>,
}

/// What a template is made of.
struct Plan<'a> {
    home: &'a Home,
    image: &'a Image,
    initramfs: Vec<u8>,
    machine: Arc<dyn Machine>,
    version: String,
    config: &'a VmConfig,
    progress: &'a dyn Progress,
}

impl Template {
    /// The template of this image, agent and configuration; booted first where it does not exist.
    ///
    /// With [`Accel::Auto`], KVM is taken where a template could be booted with it and a clone of that
    /// ran; the outcome is remembered until the host boots again. That it does not work may be the doing
    /// of a host that was busy or had no memory: [`Accel::Kvm`] tries again, and its success is remembered
    /// too.
    ///
    /// # Errors
    /// No hypervisor, a machine that does not come up, a full disk.
    pub async fn obtain(
        home: &Home,
        image: &Image,
        agent: &Path,
        config: &VmConfig,
        progress: &dyn Progress,
    ) -> Result<Self, VmError> {
        let machine: Arc<dyn Machine> = Arc::new(Qemu::new(&config.qemu));
        let version = machine.version()?;
        let interpreter = &image.record().definition.interpreter;
        let initramfs = initramfs::build(&home::read(agent)?, interpreter, &image.modules()?);
        let plan = Plan {
            home,
            image,
            initramfs,
            machine,
            version,
            config,
            progress,
        };
        match config.accel {
            Accel::Tcg => plan.obtain(Engine::Tcg).await,
            Accel::Counted => plan.obtain(Engine::Counted).await,
            Accel::Kvm => {
                kvm_opens(&config.kvm).map_err(VmError::Kvm)?;
                let obtained = plan.obtain_kvm().await;
                obtained.map_err(|error| match blames_machine(&error) {
                    Some(reason) => VmError::Kvm(reason),
                    None => error,
                })
            }
            Accel::Auto => plan.obtain_auto().await,
        }
    }

    /// Copies the saved memory to where clones start from: once, before the first clone. It is worth
    /// calling early, while something else is waited for; otherwise the first start does it.
    ///
    /// # Errors
    /// Not enough memory, or a template that was damaged.
    pub async fn prepare(&self) -> Result<(), VmError> {
        self.memory().await.map(drop)
    }

    async fn memory(&self) -> Result<&File, VmError> {
        let load = || async {
            let saved = Arc::clone(&self.saved_memory);
            let loaded = spawn_blocking(move || ram::load(&saved)).await;
            loaded
                .unwrap_or_else(|error| Err(io::Error::other(error)))
                .map_err(VmError::io("load the template's memory"))
        };
        self.memory.get_or_try_init(load).await
    }

    /// Starts a clone. The agent in it waits for the Start frame.
    ///
    /// # Errors
    /// An input that is too large, or a hypervisor that cannot be started.
    pub async fn start(&self, options: StartOptions) -> Result<Vm, VmError> {
        let memory = self.memory().await?;
        let slot = slot(options.input)?;
        let state = reopen(&self.saved_state)?;
        let root = self
            .root
            .try_clone()
            .map_err(VmError::io("duplicate a descriptor"))?;
        let config = VmConfig {
            wall: options.wall.unwrap_or(self.config.wall),
            ..self.config.clone()
        };
        let launch = |channels| Launch {
            engine: self.engine,
            config: &config,
            memory,
            boot: None,
            state,
            root,
            slot,
            channels,
        };
        let (mut vm, state) = Vm::launch(&*self.machine, launch, config.wall).await?;
        let restored = vm.control()?.restore(state).await;
        match restored {
            Ok(()) => Ok(vm),
            Err(error) => Err(VmError::Control(format!(
                "{error}; {}",
                vm.kill().await.describe()
            ))),
        }
    }

    /// Starts a clone, waits for a word of its agent, and ends it: a machine that boots may still be one
    /// that cannot be restored.
    ///
    /// # Errors
    /// No clone can be started, or it says nothing.
    pub async fn try_clone(&self) -> Result<(), VmError> {
        let mut vm = self.start(StartOptions::default()).await?;
        // Before the start of a stage there is nothing to stop, and the agent says so.
        vm.send(FrameKind::Stop, &[]).await?;
        let answer = timeout(self.engine.boot_limit(), vm.next_frame()).await;
        let exit = vm.kill().await;
        match answer {
            Ok(Ok(Some(_))) => Ok(()),
            Ok(Err(error)) => Err(error),
            Ok(Ok(None)) | Err(_) => Err(VmError::Control(format!(
                "a clone does not answer; {}",
                exit.describe()
            ))),
        }
    }

    /// What is known of it.
    #[must_use]
    pub fn record(&self) -> &TemplateRecord {
        &self.record
    }

    /// All templates on disk, the most recently used first.
    ///
    /// # Errors
    /// The directory of templates cannot be read.
    pub fn list(home: &Home) -> Result<Vec<TemplateRecord>, VmError> {
        Ok(shelf::records(home)?
            .into_iter()
            .map(|(_, record)| record)
            .collect())
    }

    /// Removes a template from disk. Clones that run are not disturbed.
    ///
    /// # Errors
    /// No such template, or its files cannot be removed.
    pub fn remove(home: &Home, key: &str) -> Result<(), VmError> {
        shelf::remove(home, key)
    }
}

impl Plan<'_> {
    async fn obtain_auto(&self) -> Result<Template, VmError> {
        if let Err(reason) = kvm_opens(&self.config.kvm) {
            self.progress.step(&format!("no KVM ({reason}): emulating"));
            return self.obtain(Engine::Tcg).await;
        }
        if let Some(Proof {
            broken: Some(reason),
            ..
        }) = Proof::recall(self.home, &self.version)
        {
            self.progress.step(&format!(
                "KVM does not work on this host ({reason}): emulating"
            ));
            return self.obtain(Engine::Tcg).await;
        }
        let error = match self.obtain_kvm().await {
            Ok(template) => return Ok(template),
            Err(error) => error,
        };
        let Some(reason) = blames_machine(&error) else {
            return Err(error);
        };
        // A larger one may only have been too large.
        if self.config.memory_mib <= VmConfig::default().memory_mib {
            Proof::remember(self.home, &self.version, Some(reason.clone()))?;
        }
        self.progress.step(&format!(
            "KVM does not work on this host ({reason}): emulating"
        ));
        self.obtain(Engine::Tcg).await
    }

    /// The template with KVM. Unless KVM is known to work since this host booted, it is made anew, and a
    /// clone of it must run.
    async fn obtain_kvm(&self) -> Result<Template, VmError> {
        let is_proven =
            || Proof::recall(self.home, &self.version).is_some_and(|proof| proof.broken.is_none());
        if is_proven() {
            return self.obtain(Engine::Kvm).await;
        }
        // One at a time: what one has made no other may remove.
        let _lock = self.lock("kvm-proof".to_owned()).await?;
        if is_proven() {
            return self.obtain(Engine::Kvm).await;
        }
        // One of an earlier boot of this host proves nothing about this one, and one that could not be
        // cloned would fail again.
        let stale = self.home.templates().join(self.key(Engine::Kvm));
        if stale.exists() {
            fs::remove_dir_all(&stale)
                .map_err(VmError::io(format!("remove {}", stale.display())))?;
        }
        self.progress.step("trying KVM");
        let template = self.obtain(Engine::Kvm).await?;
        template.try_clone().await?;
        Proof::remember(self.home, &self.version, None)?;
        Ok(template)
    }

    fn key(&self, engine: Engine) -> String {
        let image = self.image.record();
        let parts = Parts {
            format: FORMAT,
            kernel: &image.kernel_sha256,
            root: &image.root_sha256,
            initramfs: &self.initramfs,
            version: &self.version,
            processor: &cpu::model(),
            arguments: &self.machine.shape(engine, self.config),
        };
        parts.key()
    }

    /// Waits for a lock of the home.
    async fn lock(&self, name: String) -> Result<File, VmError> {
        let home = self.home.clone();
        let lock = spawn_blocking(move || home.lock(&name)).await;
        lock.map_err(|error| VmError::Control(error.to_string()))?
    }

    async fn obtain(&self, engine: Engine) -> Result<Template, VmError> {
        let key = self.key(engine);
        let place = self.home.templates().join(&key);
        if let Some(template) = self.open(&place, engine)? {
            return Ok(template);
        }
        let _lock = self.lock(format!("template-{key}")).await?;
        if let Some(template) = self.open(&place, engine)? {
            return Ok(template);
        }
        self.progress
            .step(&format!("booting the template ({engine})"));
        let stage = self.home.stage()?;
        self.make(&stage, key, engine).await?;
        stage.publish(&place)?;
        shelf::prune(self.home)?;
        self.open(&place, engine)?.ok_or_else(|| VmError::Damaged {
            what: place.display().to_string(),
            reason: "it vanished as soon as it was made".into(),
        })
    }

    fn open(&self, place: &Path, engine: Engine) -> Result<Option<Template>, VmError> {
        let Some(record) = shelf::take(place)? else {
            return Ok(None);
        };
        Ok(Some(Template {
            record,
            machine: Arc::clone(&self.machine),
            engine,
            config: self.config.clone(),
            root: home::open(&self.image.root())?,
            saved_memory: Arc::new(home::open(&place.join("ram"))?),
            saved_state: home::open(&place.join("state"))?,
            memory: OnceCell::new(),
        }))
    }

    /// Boots, waits for the agent's Ready, saves.
    async fn make(&self, stage: &Stage, key: String, engine: Engine) -> Result<(), VmError> {
        let memory = ram::anonymous(self.config.memory_mib << 20)
            .map_err(VmError::io("make guest memory"))?;
        let state = ram::anonymous(0).map_err(VmError::io("make room for the state"))?;
        let initramfs = ram::anonymous(0).map_err(VmError::io("make room for the initramfs"))?;
        io::Write::write_all(&mut &initramfs, &self.initramfs)
            .map_err(VmError::io("write the initramfs"))?;
        // A copy, as of the initramfs: the hypervisor opens both by name, as another user, who may
        // not be permitted to read the image's own file.
        let kernel = ram::anonymous(0).map_err(VmError::io("make room for the kernel"))?;
        io::copy(&mut home::open(&self.image.kernel())?, &mut &kernel)
            .map_err(VmError::io("copy the kernel"))?;
        let root = home::open(&self.image.root())?;
        let slot = slot(None)?;
        let state_for_child = state
            .try_clone()
            .map_err(VmError::io("duplicate a descriptor"))?;
        let limit = engine.boot_limit();
        let began = Instant::now();
        let launch = |channels| Launch {
            engine,
            config: self.config,
            memory: &memory,
            boot: Some((kernel, initramfs)),
            state: state_for_child,
            root,
            slot,
            channels,
        };
        let (mut vm, _) =
            Vm::launch(&*self.machine, launch, limit + Duration::from_secs(60)).await?;
        let failed = |reason| VmError::Boot {
            accel: engine.name(),
            waited: began.elapsed(),
            reason,
        };
        let ready = match timeout(limit, ready(&mut vm, self.progress)).await {
            Ok(Ok(Some(ready))) => ready,
            Ok(Ok(None)) => {
                vm.finish().await;
                return Err(failed(vm.exit_report().describe()));
            }
            Ok(Err(error)) => return Err(error),
            Err(_) => {
                // That it was killed is our doing: why comes first.
                let end = vm.kill().await.describe();
                return Err(failed(format!("it was not ready in time; {end}")));
            }
        };
        let boot_ms = began.elapsed().as_millis() as u64;
        self.progress.step("saving the template");
        vm.control()?.save(&state).await?;
        vm.kill().await;

        let directory = stage.path().to_owned();
        let saved = spawn_blocking(move || save(&directory, &memory, &state)).await;
        let (memory_bytes, state_bytes) = saved
            .unwrap_or_else(|error| Err(io::Error::other(error)))
            .map_err(VmError::io("save the template"))?;
        let record = TemplateRecord {
            key,
            image: self.image.id(),
            accel: engine.name().into(),
            machine: self.version.clone(),
            ready,
            memory_bytes,
            state_bytes,
            boot_ms,
            built: SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .map_or(0, |time| time.as_secs()),
        };
        shelf::label(stage.path(), &record)
    }
}

/// Why the machine did not do what it should; `None` where the host's files or programs are at fault,
/// which no other engine helps against.
fn blames_machine(error: &VmError) -> Option<String> {
    let reason = match error {
        VmError::Boot { reason, .. } => reason.clone(),
        VmError::Control(reason) | VmError::Kvm(reason) => reason.clone(),
        VmError::Wire(_) | VmError::WallLimit(_) => error.to_string(),
        _ => return None,
    };
    // The hypervisor's own words where it has any; a guest that never spoke has none.
    let mut words = reason.lines().skip_while(|line| *line != "hypervisor:");
    let told = words.nth(1).or(reason.lines().next());
    Some(told.unwrap_or("no reason given").to_owned())
}

/// Reads frames up to Ready; the agent's log on the way is worth showing.
async fn ready(vm: &mut Vm, progress: &dyn Progress) -> Result<Option<Ready>, VmError> {
    while let Some(frame) = vm.next_frame().await? {
        match frame.kind {
            FrameKind::Ready => {
                let ready = serde_json::from_slice(&frame.payload).map_err(|error| {
                    VmError::Control(format!("the agent's Ready is no JSON: {error}"))
                })?;
                return Ok(Some(ready));
            }
            FrameKind::Log => progress.step(&crate::error::printable(&frame.payload, 1)),
            _ => {}
        }
    }
    Ok(None)
}

fn save(directory: &Path, memory: &File, state: &File) -> io::Result<(u64, u64)> {
    let memory_bytes = ram::save(memory, &File::create_new(directory.join("ram"))?)?;
    let mut saved = File::create_new(directory.join("state"))?;
    let state_bytes = io::copy(&mut File::open(proc_path(state))?, &mut saved)?;
    Ok((memory_bytes, state_bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_machine_did_speaks_against_kvm() {
        let boot = VmError::Boot {
            accel: "kvm",
            waited: Duration::from_secs(1),
            reason: "exit status 1\nhypervisor:\nerror: failed to set MSR 0x345".into(),
        };
        let told = blames_machine(&boot);
        assert_eq!(told.as_deref(), Some("error: failed to set MSR 0x345"));
        let restore = VmError::Control("a clone does not answer; killed".into());
        let told = blames_machine(&restore);
        assert_eq!(told.as_deref(), Some("a clone does not answer; killed"));
        let disk = VmError::io("save the template")(io::ErrorKind::StorageFull.into());
        assert_eq!(blames_machine(&disk), None);
    }
}
