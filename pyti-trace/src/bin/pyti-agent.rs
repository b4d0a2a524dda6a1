//! `/init` of PyTI's virtual machine. See [`pyti_trace::agent`].

fn main() -> std::process::ExitCode {
    pyti_trace::agent::main()
}
