//! One HiGHS instance, kept from one linear program to the next, that starts from a basis it is given.
//!
//! A whole program goes in each time (its shape may differ), the optimum's point, prices and basis come out. Nothing that
//! HiGHS says is promised here beyond "its status was optimal": whoever calls measures the point.
//!
//! The instance is a raw pointer and therefore neither `Send` nor `Sync`: it lives and dies on the thread that made it.
#![cfg(feature = "link")]

use highs_sys::HighsInt;
use std::ffi::{CStr, c_void};
use std::ptr::NonNull;

/// Minimise `cost·x` over `low ≤ x ≤ high` and `row_low ≤ A·x ≤ row_high`; `A` by column.
#[derive(Debug, Clone, Copy)]
pub struct Lp<'a> {
    pub cost: &'a [f64],
    pub low: &'a [f64],
    pub high: &'a [f64],
    pub row_low: &'a [f64],
    pub row_high: &'a [f64],
    /// Where each column begins in `row` and `value`; one more than there are columns.
    pub start: &'a [i32],
    pub row: &'a [i32],
    pub value: &'a [f64],
}

/// Where a column or row rests at a vertex.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    Lower,
    Basic,
    Upper,
    Zero,
    /// At a bound that HiGHS may choose.
    Nonbasic,
}

/// A vertex, as one place a column and a row. As a start it is a hint: HiGHS completes and repairs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Basis {
    pub columns: Vec<Place>,
    pub rows: Vec<Place>,
}

/// What HiGHS calls an optimum.
#[derive(Debug, Clone)]
pub struct Optimum {
    pub x: Vec<f64>,
    /// Change of the cost per unit of each row's bound.
    pub duals: Vec<f64>,
    pub basis: Basis,
    /// Simplex iterations it took.
    pub iterations: i32,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// The arrays of the program or basis do not fit together; nothing was handed to HiGHS.
    Shape(&'static str),
    /// A call was refused.
    Refused(&'static str),
    /// HiGHS ended with this model status.
    Status(i32),
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Shape(what) => write!(f, "{what} does not fit the program"),
            Self::Refused(call) => write!(f, "{call} was refused"),
            Self::Status(status) => write!(f, "ended with model status {status}"),
        }
    }
}

impl std::error::Error for Fault {}

/// A HiGHS instance: one thread, no output, feasible to 1e-9.
#[derive(Debug)]
pub struct Instance {
    highs: NonNull<c_void>,
}

impl Instance {
    pub fn new() -> Result<Self, Fault> {
        // SAFETY: takes nothing and returns an instance that is ours, or null.
        let made = unsafe { highs_sys::Highs_create() };
        let mut instance = Self {
            highs: NonNull::new(made).ok_or(Fault::Refused("Highs_create"))?,
        };
        instance.set_bool(c"output_flag", false)?;
        instance.set_int(c"threads", 1)?;
        instance.set_text(c"parallel", c"off")?;
        instance.set_text(c"solver", c"simplex")?;
        // primal simplex (4): measured quicker than the dual after a shifted start
        instance.set_int(c"simplex_strategy", 4)?;
        instance.set_number(c"primal_feasibility_tolerance", 1e-9)?;
        instance.set_number(c"dual_feasibility_tolerance", 1e-9)?;
        Ok(instance)
    }

    /// Solves from `start`, or cold (with presolve) where there is none. `iterations` bounds the simplex: false cycling
    /// after a hot start is known (HiGHS #2759).
    pub fn solve(&mut self, lp: Lp<'_>, start: Option<&Basis>, iterations: i32) -> Result<Optimum, Fault> {
        check(&lp)?;
        if start.is_some_and(|b| b.columns.len() != lp.cost.len() || b.rows.len() != lp.row_low.len()) {
            return Err(Fault::Shape("basis"));
        }
        self.set_int(c"simplex_iteration_limit", iterations)?;
        // near an optimum moving bounds about costs more (a twentieth) than the stalls it prevents; `iterations` ends those
        let perturbed = if start.is_some() { 0.0 } else { 1.0 };
        self.set_number(c"primal_simplex_bound_perturbation_multiplier", perturbed)?;
        self.pass(&lp)?;
        if let Some(basis) = start {
            self.start_from(basis)?;
        }
        // SAFETY: `highs` is a live instance that only `self` reaches, and `self` is borrowed mutably.
        accepted(unsafe { highs_sys::Highs_run(self.highs.as_ptr()) }, "Highs_run")?;
        // SAFETY: as above.
        let status = unsafe { highs_sys::Highs_getModelStatus(self.highs.as_ptr()) };
        if status != highs_sys::MODEL_STATUS_OPTIMAL {
            return Err(Fault::Status(status));
        }
        self.optimum(lp.cost.len(), lp.row_low.len())
    }

    /// Takes the place of the program before, and of everything that was known of it.
    fn pass(&mut self, lp: &Lp<'_>) -> Result<(), Fault> {
        // SAFETY: `check` has seen that the arrays have the lengths that are told here and that `row` points inside the
        // rows; HiGHS copies them before it returns.
        let status = unsafe {
            highs_sys::Highs_passLp(
                self.highs.as_ptr(),
                lp.cost.len() as HighsInt,
                lp.row_low.len() as HighsInt,
                lp.value.len() as HighsInt,
                highs_sys::MATRIX_FORMAT_COLUMN_WISE,
                highs_sys::OBJECTIVE_SENSE_MINIMIZE,
                0.0,
                lp.cost.as_ptr(),
                lp.low.as_ptr(),
                lp.high.as_ptr(),
                lp.row_low.as_ptr(),
                lp.row_high.as_ptr(),
                lp.start.as_ptr(),
                lp.row.as_ptr(),
                lp.value.as_ptr(),
            )
        };
        accepted(status, "Highs_passLp")
    }

    fn start_from(&mut self, basis: &Basis) -> Result<(), Fault> {
        let columns: Vec<HighsInt> = basis.columns.iter().map(|p| p.number()).collect();
        let rows: Vec<HighsInt> = basis.rows.iter().map(|p| p.number()).collect();
        // SAFETY: HiGHS reads one entry a column and row of the program it was just passed; `solve` has seen that there
        // are as many.
        let status = unsafe { highs_sys::Highs_setBasis(self.highs.as_ptr(), columns.as_ptr(), rows.as_ptr()) };
        accepted(status, "Highs_setBasis")
    }

    fn optimum(&mut self, columns: usize, rows: usize) -> Result<Optimum, Fault> {
        let (mut x, mut reduced_costs) = (vec![0.0; columns], vec![0.0; columns]);
        let (mut activity, mut duals) = (vec![0.0; rows], vec![0.0; rows]);
        // SAFETY: HiGHS writes one number a column and row of the program it holds, which has `columns` and `rows`.
        let status = unsafe {
            highs_sys::Highs_getSolution(
                self.highs.as_ptr(),
                x.as_mut_ptr(),
                reduced_costs.as_mut_ptr(),
                activity.as_mut_ptr(),
                duals.as_mut_ptr(),
            )
        };
        accepted(status, "Highs_getSolution")?;
        let (mut column_places, mut row_places) = (vec![0; columns], vec![0; rows]);
        // SAFETY: as above, one status a column and row.
        let status = unsafe {
            highs_sys::Highs_getBasis(self.highs.as_ptr(), column_places.as_mut_ptr(), row_places.as_mut_ptr())
        };
        accepted(status, "Highs_getBasis")?;
        let places = |numbers: Vec<HighsInt>| numbers.into_iter().map(Place::of).collect();
        Ok(Optimum {
            x,
            duals,
            basis: Basis {
                columns: places(column_places),
                rows: places(row_places),
            },
            iterations: self.iterations()?,
        })
    }

    fn iterations(&self) -> Result<i32, Fault> {
        let mut count = 0;
        // SAFETY: the name ends in a nul and `count` is one integer to write.
        let status = unsafe {
            highs_sys::Highs_getIntInfoValue(self.highs.as_ptr(), c"simplex_iteration_count".as_ptr(), &raw mut count)
        };
        accepted(status, "Highs_getIntInfoValue")?;
        Ok(count)
    }

    fn set_bool(&mut self, name: &CStr, value: bool) -> Result<(), Fault> {
        // SAFETY: a live instance of ours and a name that ends in a nul; HiGHS keeps neither.
        let status =
            unsafe { highs_sys::Highs_setBoolOptionValue(self.highs.as_ptr(), name.as_ptr(), HighsInt::from(value)) };
        accepted(status, "Highs_setBoolOptionValue")
    }

    fn set_int(&mut self, name: &CStr, value: i32) -> Result<(), Fault> {
        // SAFETY: as in `set_bool`.
        let status = unsafe { highs_sys::Highs_setIntOptionValue(self.highs.as_ptr(), name.as_ptr(), value) };
        accepted(status, "Highs_setIntOptionValue")
    }

    fn set_number(&mut self, name: &CStr, value: f64) -> Result<(), Fault> {
        // SAFETY: as in `set_bool`.
        let status = unsafe { highs_sys::Highs_setDoubleOptionValue(self.highs.as_ptr(), name.as_ptr(), value) };
        accepted(status, "Highs_setDoubleOptionValue")
    }

    fn set_text(&mut self, name: &CStr, value: &CStr) -> Result<(), Fault> {
        // SAFETY: as in `set_bool`; HiGHS copies the value.
        let status =
            unsafe { highs_sys::Highs_setStringOptionValue(self.highs.as_ptr(), name.as_ptr(), value.as_ptr()) };
        accepted(status, "Highs_setStringOptionValue")
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        // SAFETY: made by `Highs_create`, ours alone, and not reachable any more.
        unsafe { highs_sys::Highs_destroy(self.highs.as_ptr()) };
    }
}

impl Place {
    fn number(self) -> HighsInt {
        match self {
            Self::Lower => 0,
            Self::Basic => 1,
            Self::Upper => 2,
            Self::Zero => 3,
            Self::Nonbasic => 4,
        }
    }

    fn of(number: HighsInt) -> Self {
        match number {
            0 => Self::Lower,
            1 => Self::Basic,
            2 => Self::Upper,
            3 => Self::Zero,
            _ => Self::Nonbasic,
        }
    }
}

/// A warning (a value moved to its bound, say) is no refusal: what comes out is measured.
fn accepted(status: HighsInt, call: &'static str) -> Result<(), Fault> {
    match status {
        highs_sys::STATUS_ERROR => Err(Fault::Refused(call)),
        _ => Ok(()),
    }
}

/// Whether every array has its length and every index is inside: what the calls into HiGHS rely on.
fn check(lp: &Lp<'_>) -> Result<(), Fault> {
    let (columns, rows, entries) = (lp.cost.len(), lp.row_low.len(), lp.value.len());
    let fits = |ok: bool, what| if ok { Ok(()) } else { Err(Fault::Shape(what)) };
    fits([columns, rows, entries].iter().all(|n| *n < i32::MAX as usize), "size")?;
    fits(lp.low.len() == columns && lp.high.len() == columns, "bounds")?;
    fits(lp.row_high.len() == rows, "row bounds")?;
    fits(lp.row.len() == entries, "matrix")?;
    let ends = lp.start.first() == Some(&0) && lp.start.last() == Some(&(entries as i32));
    fits(ends && lp.start.len() == columns + 1, "column starts")?;
    fits(lp.start.windows(2).all(|w| w[0] <= w[1]), "column starts")?;
    fits(
        lp.row.iter().all(|r| usize::try_from(*r).is_ok_and(|r| r < rows)),
        "row index",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Maximise `x + 2y`, `x + y ≤ room`, `x, y ≤ 3`.
    fn solve(instance: &mut Instance, room: f64, start: Option<&Basis>) -> Result<Optimum, Fault> {
        instance.solve(
            Lp {
                cost: &[-1.0, -2.0],
                low: &[0.0, 0.0],
                high: &[3.0, 3.0],
                row_low: &[f64::NEG_INFINITY],
                row_high: &[room],
                start: &[0, 1, 2],
                row: &[0, 0],
                value: &[1.0, 1.0],
            },
            start,
            1000,
        )
    }

    #[test]
    fn a_kept_instance_starts_from_the_basis_it_is_given() {
        let mut instance = Instance::new().unwrap();
        let first = solve(&mut instance, 4.0, None).unwrap();
        assert_eq!((first.x, first.duals), (vec![1.0, 3.0], vec![-1.0]));
        assert_eq!(first.basis.columns, [Place::Basic, Place::Upper]);
        let next = solve(&mut instance, 5.0, Some(&first.basis)).unwrap();
        assert_eq!((next.x, next.iterations), (vec![2.0, 3.0], 0));
    }

    #[test]
    fn a_basis_that_is_none_is_repaired() {
        let mut instance = Instance::new().unwrap();
        for place in [Place::Basic, Place::Nonbasic, Place::Upper] {
            let start = Basis {
                columns: vec![place; 2],
                rows: vec![place],
            };
            assert_eq!(solve(&mut instance, 4.0, Some(&start)).unwrap().x, [1.0, 3.0]);
        }
    }

    #[test]
    fn what_does_not_fit_together_never_reaches_highs() {
        let mut instance = Instance::new().unwrap();
        let lp = Lp {
            cost: &[1.0],
            low: &[0.0],
            high: &[1.0],
            row_low: &[0.0],
            row_high: &[1.0],
            start: &[0, 1],
            row: &[0],
            value: &[1.0],
        };
        let refused = |lp: Lp<'_>| Instance::new().unwrap().solve(lp, None, 10).unwrap_err();
        assert_eq!(refused(Lp { row: &[1], ..lp }), Fault::Shape("row index"));
        assert_eq!(refused(Lp { row: &[-1], ..lp }), Fault::Shape("row index"));
        assert_eq!(refused(Lp { high: &[], ..lp }), Fault::Shape("bounds"));
        assert_eq!(refused(Lp { row_high: &[], ..lp }), Fault::Shape("row bounds"));
        assert_eq!(refused(Lp { start: &[0, 2], ..lp }), Fault::Shape("column starts"));
        assert_eq!(refused(Lp { start: &[0], ..lp }), Fault::Shape("column starts"));
        assert_eq!(
            refused(Lp {
                value: &[1.0, 2.0],
                ..lp
            }),
            Fault::Shape("matrix")
        );
        let basis = Basis {
            columns: vec![Place::Basic; 2],
            rows: vec![Place::Lower],
        };
        assert_eq!(instance.solve(lp, Some(&basis), 10).unwrap_err(), Fault::Shape("basis"));
        assert_eq!(instance.solve(lp, None, 10).unwrap().x, [0.0]);
    }

    #[test]
    fn no_optimum_is_told_apart() {
        let mut instance = Instance::new().unwrap();
        let infeasible = solve(&mut instance, -1.0, None).unwrap_err();
        assert_eq!(infeasible, Fault::Status(highs_sys::MODEL_STATUS_INFEASIBLE));
        assert_eq!(solve(&mut instance, 4.0, None).unwrap().x, [1.0, 3.0]);
    }
}
