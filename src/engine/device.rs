//! Where forces are computed: names of devices, and what they are called in a checkpoint.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Where forces are computed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Device {
    /// A CUDA device where one can be used, else the CPU.
    #[default]
    Auto,
    /// All cores.
    Cpu,
    /// The CUDA device of this number.
    Cuda(u32),
    /// All CUDA devices of this machine, replicas shared out over them.
    CudaAll,
    /// The slow double-precision oracle.
    Reference,
}

/// How exactly a GPU evaluates the student; state and sums of energies are f64 either way. The CPU
/// knows 32 bits only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// Products of 16-bit numbers with 32-bit sums, on tensor cores: fast, and harmless under a
    /// thermostat.
    Mixed,
    /// 32 bits throughout: for the conservation of energy, and for derivatives.
    Single,
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Mixed => "mixed",
            Self::Single => "single",
        })
    }
}

impl FromStr for Precision {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "mixed" => Ok(Self::Mixed),
            "single" => Ok(Self::Single),
            _ => Err(format!(
                "no precision is called \"{text}\"; there are mixed and single"
            )),
        }
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(number) => write!(f, "cuda:{number}"),
            Self::CudaAll => f.write_str("cuda:all"),
            Self::Reference => f.write_str("reference"),
        }
    }
}

impl FromStr for Device {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let unknown = || {
            format!(
                "no device is called \"{text}\"; there are auto, cpu, cuda, cuda:K, cuda:all and reference"
            )
        };
        match text {
            "auto" => Ok(Self::Auto),
            "cpu" => Ok(Self::Cpu),
            "cuda" => Ok(Self::Cuda(0)),
            "cuda:all" => Ok(Self::CudaAll),
            "reference" => Ok(Self::Reference),
            _ => {
                let number = text.strip_prefix("cuda:").ok_or_else(unknown)?;
                number.parse().map(Self::Cuda).map_err(|_| unknown())
            }
        }
    }
}

/// The model of this machine's CPU: other models may round differently.
pub fn cpu_model() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    // A model number as well as a name: virtual machines give many CPUs the same name.
    let field = |name: &str| {
        let line = text
            .lines()
            .find(|line| line.split(':').next().unwrap_or("").trim() == name)?;
        Some(line.split_once(':')?.1.trim().to_owned())
    };
    match (field("model name"), field("cpu family"), field("model")) {
        (Some(name), Some(family), Some(model)) => {
            format!("{name}, family {family}, model {model}")
        }
        (Some(name), ..) => name,
        _ => format!("{} CPU", std::env::consts::ARCH),
    }
}
