//! The tracer alone, on the host itself. See [`pyti_trace::host`].

fn main() -> std::process::ExitCode {
    pyti_trace::host::main()
}
