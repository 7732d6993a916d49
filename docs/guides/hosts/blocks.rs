//! The usual graph, live: each block with `history` samples before it and `ahead` behind it.
//! With the crate `ort` (2.0), `run` is
//!     |audio: &[f32]| {
//!         let input = ort::value::Tensor::from_array(([1, audio.len()], audio.to_vec()))?;
//!         let outputs = session.run(ort::inputs!["audio" => input])?;
//!         Ok(outputs["output"].try_extract_tensor::<f32>()?.1.to_vec())
//!     }

pub struct Blocks<F> {
    run: F,
    block: usize,
    history: usize,
    fade: usize,
    search: usize,
    window: Vec<f32>, // what the host keeps of the input,
    tail: Vec<f32>,   // and of the output
}

impl<F, E> Blocks<F>
where
    F: FnMut(&[f32]) -> Result<Vec<f32>, E>,
{
    pub fn new(run: F, rate: usize, block: usize, history: usize, ahead: usize) -> Self {
        let fade = (0.010 * rate as f64).round() as usize;
        let search = (0.006 * rate as f64).round() as usize;
        let window = vec![0.0; history + block + ahead];
        Self { run, block, history, fade, search, window, tail: vec![0.0; fade] }
    }

    /// A block in, a block out, `ahead` samples late.
    pub fn process(&mut self, samples: &[f32]) -> Result<Vec<f32>, E> {
        self.window.drain(..self.block);
        self.window.extend_from_slice(samples);
        let made = (self.run)(&self.window)?;
        let start = self.best_start(&made);
        let mut out = made[start..start + self.block].to_vec();
        for k in 0..self.fade {
            let place = k as f32 / (self.fade - 1) as f32;
            let share = (std::f32::consts::FRAC_PI_2 * place).sin().powi(2);
            out[k] = self.tail[k] + share * (out[k] - self.tail[k]);
        }
        let end = start + self.block;
        self.tail = made[end..end + self.fade].to_vec();
        Ok(out)
    }

    fn best_start(&self, made: &[f32]) -> usize {
        if dot(&self.tail, &self.tail) < 1e-9 {
            return self.history;
        }
        let (mut start, mut best) = (self.history, f32::NEG_INFINITY);
        for at in self.history - self.search..=self.history + self.search {
            let part = &made[at..at + self.fade];
            let likeness = dot(part, &self.tail) / (dot(part, part) + 1e-9).sqrt();
            if likeness > best {
                (start, best) = (at, likeness);
            }
        }
        start
    }
}

fn dot(one: &[f32], other: &[f32]) -> f32 {
    one.iter().zip(other).map(|(a, b)| a * b).sum()
}
