//! What a student is made of: the sizes, and from them the name and shape of every tensor.

/// The sizes of a student; its first layer sums densities by element.
#[derive(Clone, Debug, PartialEq)]
pub struct Architecture {
    /// Number of elements E that the student knows.
    pub elements: usize,
    /// Scalars and vectors an atom carries, F; a multiple of 16.
    pub channels: usize,
    /// Updates L; between two of them is a message.
    pub layers: usize,
    /// Radial functions K.
    pub radial: usize,
    /// Second-rank tensors T of the first layer whose norms the first update reads; 0 for none.
    pub tensor_channels: usize,
    /// Whether what an atom receives is scaled by its element.
    pub gates: bool,
    /// ε of the norms √(x·x + ε), which without it would have a cusp where symmetric atoms sit.
    pub norm_epsilon: f64,
    /// Distance from which on atoms do not see each other, Å.
    pub cutoff_ang: f64,
    /// Whether the radial functions fade away inside the covalent distance of a pair.
    pub core: bool,
    /// Whether dispersion between atoms that do not see each other is added to what is learnt.
    pub dispersion: bool,
}

/// Numbers that stand side by side along an axis of a tensor, one block for each kind of them.
pub(super) type Blocks = Vec<usize>;

impl Architecture {
    /// Name and shape of every tensor, in the order of the forward pass.
    pub fn tensors(&self) -> Vec<(String, Vec<usize>)> {
        let shape = |axes: Vec<Blocks>| axes.iter().map(|blocks| blocks.iter().sum()).collect();
        let tensors = self.blocks().into_iter();
        tensors.map(|(name, axes)| (name, shape(axes))).collect()
    }

    /// The same with the blocks that each axis is made of.
    pub(super) fn blocks(&self) -> Vec<(String, Vec<Blocks>)> {
        let Self {
            elements: e,
            channels: f,
            radial: k,
            tensor_channels: t,
            ..
        } = *self;
        let mut list = Tensors(Vec::new());
        list.add("embedding", &[&[e], &[f]]);
        list.add("density.scalar", &[&[e * k], &[f]]);
        list.add("density.vector", &[&[e * k], &[f]]);
        if t > 0 {
            list.add("density.tensor", &[&[e * k], &[t]]);
        }
        if self.gates {
            list.gates("density", e, f);
            if t > 0 {
                list.add("density.gate_tensor", &[&[e], &[t]]);
            }
        }
        for layer in 1..=self.layers {
            if layer > 1 {
                let name = format!("message{layer}");
                list.dense(&format!("{name}.phi.hidden"), &[f], &[f]);
                list.dense(&format!("{name}.phi.out"), &[f], &[f, f, f]);
                list.add(&format!("{name}.filter"), &[&[k], &[f, f, f]]);
                if self.gates {
                    list.gates(&name, e, f);
                }
            }
            let name = format!("update{layer}");
            let inputs: &[usize] = if layer == 1 { &[f, f, t] } else { &[f, f] };
            let outputs = vec![f; self.update_width(layer) / f];
            list.add(&format!("{name}.mix"), &[&[f], &[f, f]]);
            list.dense(&format!("{name}.hidden"), inputs, &[f]);
            list.dense(&format!("{name}.out"), &[f], &outputs);
        }
        list.dense("readout.hidden", &[f], &[f / 2]);
        list.dense("readout.out", &[f / 2], &[1]);
        list.0
    }

    /// Outputs of an update's network: a and c, and b in every layer but the last, whose vectors
    /// nothing reads.
    pub fn update_width(&self, layer: usize) -> usize {
        if layer == self.layers {
            2 * self.channels
        } else {
            3 * self.channels
        }
    }
}

struct Tensors(Vec<(String, Vec<Blocks>)>);

impl Tensors {
    fn add(&mut self, name: &str, axes: &[&[usize]]) {
        let axes = axes.iter().map(|blocks| blocks.to_vec()).collect();
        self.0.push((name.to_owned(), axes));
    }

    fn gates(&mut self, name: &str, elements: usize, channels: usize) {
        for kind in ["scalar", "vector"] {
            self.add(&format!("{name}.gate_{kind}"), &[&[elements], &[channels]]);
        }
    }

    fn dense(&mut self, name: &str, inputs: &[usize], outputs: &[usize]) {
        self.add(&format!("{name}.weight"), &[inputs, outputs]);
        self.add(&format!("{name}.bias"), &[outputs]);
    }
}
