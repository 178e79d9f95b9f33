(** Said somewhere as if it always held, with a case where it does not (paper: §3.3, §4, App. C, App. E).

    Each is an exact inequality between real numbers, for a concrete π. The numeric steps need only
    1 + x ≤ e^x ≤ 1/(1 − x). *)

From Coq Require Import Reals Lra Lia List.
From Ldyn Require Import Sums Calculus Softmax Adaptation Remainder NegativeStep PositiveStep
  Repeated Entropy Monotone BothSigns Modifiers.
Import ListNotations.
Local Open Scope R_scope.

(** The distribution with the listed probabilities. *)
Definition listed (l : list R) (i : nat) : R := nth i l 0.

Ltac each_label i Hi := do 8 (destruct i as [|i]; [cbn; try lra; try (exfalso; lia)|]); exfalso; lia.

Ltac listed_distribution := split; [intros i Hi; each_label i Hi | cbn; lra].

Ltac listed_runner_up := split; [lia|]; split; [lia|]; intros i Hi N; each_label i Hi.

(** Each sum of a listed distribution, written out. *)
Ltac write_out := unfold norm_sq, mean, listed, ind; cbn [sum nth Nat.eqb].

(** ** One negative step *)

(** "The lost mass goes largely to y*": at a uniform π it is shared equally, whatever the step. *)
Lemma uniform_mass_is_shared : forall n y s i, (y < n)%nat -> (i < n)%nat -> i <> y ->
  after_negative n (uniform n) y s i - uniform n i
  = (uniform n y - after_negative n (uniform n) y s y) / (INR n - 1).
Proof.
  intros n y s i Hy Hi N. assert (Hp : distribution n (uniform n)) by (apply uniform_distribution; lia).
  pose proof (after_distribution n (uniform n) Hp (negative (uniform n) y s)) as A.
  change (distribution n (after_negative n (uniform n) y s)) in A.
  pose proof (sum_others n (uniform n) y Hp Hy) as S. pose proof (sum_others n _ y A Hy) as S'.
  set (a := after_negative n (uniform n) y s i).
  assert (E : forall j, j <> y -> after_negative n (uniform n) y s j = a).
  { intros j M. unfold a, after_negative, after. fold (negative_growth n (uniform n) y s j).
    fold (negative_growth n (uniform n) y s i). now rewrite !uniform_growth. }
  assert (G : 2 <= INR n) by (change 2 with (INR 2); apply le_INR; lia).
  assert (C : forall c, sum n (fun j => (1 - ind j y) * c) = (INR n - 1) * c).
  { intro c. rewrite (sum_ext n _ (fun j => c - ind j y * c)) by (intros; ring).
    rewrite sum_minus, sum_const, (sum_ind n y (fun _ => c) Hy). ring. }
  assert (S2 : (INR n - 1) * a = 1 - after_negative n (uniform n) y s y).
  { rewrite <- S', <- (C a). apply sum_ext. intros j Hj.
    destruct (ind_cases j y) as [[_ I]|[M I]]; rewrite I; [ring|]. now rewrite E. }
  assert (S1 : (INR n - 1) * uniform n i = 1 - uniform n y).
  { rewrite <- S, <- (C (uniform n i)). reflexivity. }
  apply (Rmult_eq_reg_l (INR n - 1)); [|lra].
  replace ((INR n - 1) * ((uniform n y - after_negative n (uniform n) y s y) / (INR n - 1)))
    with (uniform n y - after_negative n (uniform n) y s y) by (field; lra). lra.
Qed.

(** "All other labels fall": (1/2, 1/4, 1/4†), s = 1/10, the second rises. *)
Definition half_quarters : nat -> R := listed [1/2; 1/4; 1/4].

Lemma half_quarters_distribution : distribution 3 half_quarters.
Proof. listed_distribution. Qed.

Lemma half_quarters_runner_up : runner_up 3 half_quarters 2 0.
Proof. listed_runner_up. Qed.

Lemma not_all_others_fall : 1 < negative_growth 3 half_quarters 2 (1/10) 1.
Proof.
  apply (rises_if_above_start 3 half_quarters 2 0 (1/10) half_quarters_distribution);
    [lia | exact half_quarters_runner_up | lra | lia |].
  unfold half_quarters. write_out. lra.
Qed.

(** "The smaller π_y, the more y* gains" (which label is penalised): (0.6, 0.3, 0.0999, 0.0001),
    every step size. *)
Definition four : nat -> R := listed [6/10; 3/10; 999/10000; 1/10000].

Lemma four_distribution : distribution 4 four.
Proof. listed_distribution. Qed.

Lemma less_likely_label_gives_runner_up_less : forall s, 0 < s ->
  negative_growth 4 four 3 s 0 < negative_growth 4 four 2 s 0 < negative_growth 4 four 1 s 0.
Proof.
  intros s Hs. split; apply third_labels_gain_more; try exact four_distribution; try lia; try assumption;
    unfold four, listed; cbn; lra.
Qed.

(** The same with mass moved into y and the rest rescaled: π = (1 − e)·(0.6, 0.25, 0.1, 0.05) + e·y. *)
Definition rescaled (e : R) : nat -> R :=
  listed [(1 - e) * (6/10); (1 - e) * (25/100); (1 - e) * (1/10); (1 - e) * (5/100); e].

Lemma rescaled_distribution : forall e, 0 < e < 1 -> distribution 5 (rescaled e).
Proof.
  intros e H. split; [|cbn; lra].
  intros i Hi; do 5 (destruct i as [|i]; [cbn; try lra; apply Rmult_lt_0_compat; lra|]); lia.
Qed.

Lemma rescaled_inverse : forall e, 0 < e < 1 ->
  1 / negative_growth 5 (rescaled e) 4 1 0
  = e * exp (- ((1 - e) * (16/10)))
    + (1 - e) * (6/10 + 25/100 * exp (- ((1 - e) * (35/100))) + 1/10 * exp (- ((1 - e) * (5/10)))
                 + 5/100 * exp (- ((1 - e) * (55/100)))).
Proof.
  intros e H. rewrite inverse_growth_split by (try apply rescaled_distribution; auto; lia).
  unfold rescaled, listed, ind. cbn [sum nth Nat.eqb].
  replace (- (1 * (1 - e + (1 - e) * (6 / 10)))) with (- ((1 - e) * (16/10))) by field.
  replace (1 * ((1 - e) * (6 / 10) - (1 - e) * (6 / 10))) with 0 by ring.
  replace (1 * ((1 - e) * (25 / 100) - (1 - e) * (6 / 10))) with (- ((1 - e) * (35/100))) by field.
  replace (1 * ((1 - e) * (1 / 10) - (1 - e) * (6 / 10))) with (- ((1 - e) * (5/10))) by field.
  replace (1 * ((1 - e) * (5 / 100) - (1 - e) * (6 / 10))) with (- ((1 - e) * (55/100))) by field.
  rewrite exp_0. ring.
Qed.

Lemma rescaled_label_gives_runner_up_less :
  negative_growth 5 (rescaled (1/1000000)) 4 1 0 < negative_growth 5 (rescaled (3/10)) 4 1 0.
Proof.
  apply growth_lt_by_inverse; [apply rescaled_distribution; lra..|].
  change (1 / negative_growth 5 (rescaled (3/10)) 4 1 0 < 1 / negative_growth 5 (rescaled (1/1000000)) 4 1 0).
  rewrite !rescaled_inverse by lra.
  pose proof (exp_neg_le ((1 - 3/10) * (16/10))). pose proof (exp_neg_le ((1 - 3/10) * (35/100))).
  pose proof (exp_neg_le ((1 - 3/10) * (5/10))). pose proof (exp_neg_le ((1 - 3/10) * (55/100))).
  pose proof (exp_ineq1_le (- ((1 - 1/1000000) * (35/100)))).
  pose proof (exp_ineq1_le (- ((1 - 1/1000000) * (5/10)))).
  pose proof (exp_ineq1_le (- ((1 - 1/1000000) * (55/100)))).
  pose proof (exp_pos (- ((1 - 1/1000000) * (16/10)))). lra.
Qed.

(** α_{y*} is not monotone in π_y in either direction: V = 2, s = 1, π_y = 1/100, 1/2, 99/100. *)
Definition pair (e : R) : nat -> R := listed [1 - e; e].

Lemma pair_distribution : forall e, 0 < e < 1 -> distribution 2 (pair e).
Proof. intros e H. split; [|cbn; lra]. intros i Hi; do 2 (destruct i as [|i]; [cbn; lra|]); lia. Qed.

Lemma pair_inverse : forall e s, 0 < e < 1 ->
  1 / negative_growth 2 (pair e) 1 s 0 = 1 - e + e * exp (- (s * (2 * (1 - e)))).
Proof.
  intros e s H. rewrite inverse_growth_split by (try apply pair_distribution; auto; lia).
  unfold pair, listed, ind. cbn [sum nth Nat.eqb].
  replace (1 - e + (1 - e)) with (2 * (1 - e)) by ring.
  replace (s * (1 - e - (1 - e))) with 0 by ring. rewrite exp_0. ring.
Qed.

Lemma runner_up_growth_not_monotone :
  negative_growth 2 (pair (1/100)) 1 1 0 < negative_growth 2 (pair (1/2)) 1 1 0 /\
  negative_growth 2 (pair (99/100)) 1 1 0 < negative_growth 2 (pair (1/2)) 1 1 0.
Proof.
  split; (apply growth_lt_by_inverse; [apply pair_distribution; lra..|]).
  - change (1 / negative_growth 2 (pair (1/2)) 1 1 0 < 1 / negative_growth 2 (pair (1/100)) 1 1 0).
    rewrite !pair_inverse by lra. pose proof (exp_neg_le (1 * (2 * (1 - 1/2)))).
    pose proof (exp_pos (- (1 * (2 * (1 - 1/100))))). lra.
  - change (1 / negative_growth 2 (pair (1/2)) 1 1 0 < 1 / negative_growth 2 (pair (99/100)) 1 1 0).
    rewrite !pair_inverse by lra. pose proof (exp_neg_le (1 * (2 * (1 - 1/2)))).
    pose proof (exp_ineq1_le (- (1 * (2 * (1 - 99/100))))). lra.
Qed.

(** Nor is the growth of a third label: π = (1 − e)·(0.6, 0.4) + e·y, e = 1/100, 1/2, 99/100. *)
Definition triple (e : R) : nat -> R := listed [(1 - e) * (6/10); (1 - e) * (4/10); e].

Lemma triple_distribution : forall e, 0 < e < 1 -> distribution 3 (triple e).
Proof.
  intros e H. split; [|cbn; lra].
  intros i Hi; do 3 (destruct i as [|i]; [cbn; try lra; apply Rmult_lt_0_compat; lra|]); lia.
Qed.

Lemma triple_inverse : forall e, 0 < e < 1 ->
  1 / negative_growth 3 (triple e) 2 1 1
  = e * exp (- ((1 - e) * (14/10))) + (1 - e) * (4/10 + 6/10 * exp ((1 - e) * (2/10))).
Proof.
  intros e H. rewrite inverse_growth_split by (try apply triple_distribution; auto; lia).
  unfold triple, listed, ind. cbn [sum nth Nat.eqb].
  replace (- (1 * (1 - e + (1 - e) * (4 / 10)))) with (- ((1 - e) * (14/10))) by field.
  replace (1 * ((1 - e) * (6 / 10) - (1 - e) * (4 / 10))) with ((1 - e) * (2/10)) by field.
  replace (1 * ((1 - e) * (4 / 10) - (1 - e) * (4 / 10))) with 0 by ring. rewrite exp_0. ring.
Qed.

Lemma third_label_growth_not_monotone :
  negative_growth 3 (triple (1/100)) 2 1 1 < negative_growth 3 (triple (1/2)) 2 1 1 /\
  negative_growth 3 (triple (99/100)) 2 1 1 < negative_growth 3 (triple (1/2)) 2 1 1.
Proof.
  split; (apply growth_lt_by_inverse; [apply triple_distribution; lra..|]).
  - change (1 / negative_growth 3 (triple (1/2)) 2 1 1 < 1 / negative_growth 3 (triple (1/100)) 2 1 1).
    rewrite !triple_inverse by lra. pose proof (exp_neg_le ((1 - 1/2) * (14/10))).
    pose proof (exp_le_frac ((1 - 1/2) * (2/10))). pose proof (exp_pos (- ((1 - 1/100) * (14/10)))).
    pose proof (exp_ineq1_le ((1 - 1/100) * (2/10))). lra.
  - change (1 / negative_growth 3 (triple (1/2)) 2 1 1 < 1 / negative_growth 3 (triple (99/100)) 2 1 1).
    rewrite !triple_inverse by lra. pose proof (exp_neg_le ((1 - 1/2) * (14/10))).
    pose proof (exp_le_frac ((1 - 1/2) * (2/10))). pose proof (exp_ineq1_le (- ((1 - 99/100) * (14/10)))).
    pose proof (exp_ineq1_le ((1 - 99/100) * (2/10))). lra.
Qed.

(** Nor is it up to π_y = 1/2, for labels near y*: the others in the proportions (0.4, 0.35, five times 0.05),
    s = 1/1000, the second at π_y = 0.48 and 1/2. *)
Definition crowd : nat -> R := listed [200/1000; 175/1000; 25/1000; 25/1000; 25/1000; 25/1000; 25/1000; 500/1000].

Lemma crowd_distribution : distribution 8 crowd.
Proof. listed_distribution. Qed.

Lemma third_label_turns_below_one_half :
  negative_growth 8 (reweighted crowd 7 (1/2)) 7 (1/1000) 1
  < negative_growth 8 (reweighted crowd 7 (48/100)) 7 (1/1000) 1.
Proof.
  apply growth_lt_by_rate; try (apply reweighted_distribution; [exact crowd_distribution | lia | lia | lra]);
    try lia; [lra|].
  unfold reweighted, crowd. write_out. lra.
Qed.

(** "The peakier the others, the larger α_{y*}": proportions (0.5, 0.3, 0.2) to the powers 2 and 8, π_y = 1/100,
    s = 1. *)
Definition squared : nat -> R :=
  listed [99/100 * (25/38); 99/100 * (9/38); 99/100 * (4/38); 1/100].
Definition eighth_power : nat -> R :=
  listed [99/100 * (390625/397442); 99/100 * (6561/397442); 99/100 * (256/397442); 1/100].

Lemma peakier_gives_runner_up_less :
  peakier 4 3 squared eighth_power /\ negative_growth 4 eighth_power 3 1 0 < negative_growth 4 squared 3 1 0.
Proof.
  split.
  - split; [reflexivity|].
    exists (listed [390625/397442 * (38/25); 6561/397442 * (38/9); 256/397442 * (38/4); 0]). split.
    + intros [|[|[|[|j]]]] Hj N; try lia; unfold squared, eighth_power, listed; cbn [nth]; field.
    + intros [|[|[|[|i]]]] [|[|[|[|j]]]] Hi Hj Ni Nj; try lia; unfold squared, listed; cbn [nth]; lra.
  - assert (D2 : distribution 4 squared) by listed_distribution.
    assert (D8 : distribution 4 eighth_power) by listed_distribution.
    apply growth_lt_by_inverse; [assumption..|].
    change (1 / negative_growth 4 squared 3 1 0 < 1 / negative_growth 4 eighth_power 3 1 0).
    rewrite !inverse_growth_split by (assumption || lia).
    unfold squared, eighth_power, listed, ind. cbn [sum nth Nat.eqb].
    replace (1 * (99 / 100 * (390625 / 397442) - 99 / 100 * (390625 / 397442))) with 0 by ring.
    replace (1 * (99 / 100 * (25 / 38) - 99 / 100 * (25 / 38))) with 0 by ring. rewrite exp_0.
    replace (1 * (99 / 100 * (9 / 38) - 99 / 100 * (25 / 38))) with (- (1584/3800)) by field.
    replace (1 * (99 / 100 * (4 / 38) - 99 / 100 * (25 / 38))) with (- (2079/3800)) by field.
    pose proof (exp_neg_le (1584/3800)). pose proof (exp_neg_le (2079/3800)).
    pose proof (exp_neg_le (1 * (1 - 1 / 100 + 99 / 100 * (25 / 38)))).
    pose proof (exp_pos (- (1 * (1 - 1 / 100 + 99 / 100 * (390625 / 397442))))).
    pose proof (exp_pos (1 * (99 / 100 * (6561 / 397442) - 99 / 100 * (390625 / 397442)))).
    pose proof (exp_pos (1 * (99 / 100 * (256 / 397442) - 99 / 100 * (390625 / 397442)))). lra.
Qed.

(** The 1/2 of [transfer_squeeze] is the best: with more, mass moved from y to a label m can raise a third one. *)
Lemma one_half_is_optimal : forall c, 1 / 2 < c -> exists p q s,
  distribution 3 p /\ distribution 3 q /\ 0 < s /\ p 0%nat = q 0%nat /\ p 2%nat < q 2%nat /\ q 2%nat <= q 1%nat + c
  /\ negative_growth 3 q 2 s 0 < negative_growth 3 p 2 s 0.
Proof.
  intros c Hc. set (b := Rmin c (3/4)). assert (B : 1 / 2 < b) by (apply Rmin_glb_lt; lra).
  assert (B1 : b <= c) by apply Rmin_l. assert (B2 : b <= 3/4) by apply Rmin_r. clearbody b.
  set (u := (b - 1/2) / 4). assert (U : 0 < u) by (unfold u; lra).
  exists (listed [1/8; (7/8 - b) / 2 + u; (7/8 + b) / 2 - u]), (listed [1/8; (7/8 - b) / 2; (7/8 + b) / 2]), (12 * (u * u)).
  assert (D : forall v, 0 <= v <= u -> distribution 3 (listed [1/8; (7/8 - b) / 2 + v; (7/8 + b) / 2 - v])).
  { intros v [V0 V1]. unfold u in V1. listed_distribution. }
  pose proof (D u ltac:(lra)) as Dp. pose proof (D 0 ltac:(lra)) as Dq. rewrite Rplus_0_r, Rminus_0_r in Dq.
  assert (S : 0 < u * u) by (now apply Rmult_lt_0_compat).
  repeat split; try apply Dp; try apply Dq; try lra; try (unfold listed; cbn [nth]; lra).
  apply growth_lt_by_rate; [assumption | assumption | lia | lia | lia | lra |].
  write_out. unfold u. lra.
Qed.

(** "A larger step amplifies every change": (0.45, 0.35, 0.2†), the second label rises at s = 1/5 and
    falls at s = 20. *)
Definition bystander : nat -> R := listed [45/100; 35/100; 2/10].

Lemma bystander_distribution : distribution 3 bystander.
Proof. listed_distribution. Qed.

Lemma bystander_runner_up : runner_up 3 bystander 2 0.
Proof. listed_runner_up. Qed.

Lemma bystander_rises_then_falls :
  1 < negative_growth 3 bystander 2 (1/5) 1 /\ negative_growth 3 bystander 2 20 1 < 1.
Proof.
  split.
  - apply (rises_if_above_start 3 bystander 2 0 (1/5) bystander_distribution);
      [lia | exact bystander_runner_up | lra | lia |].
    unfold bystander. write_out. lra.
  - apply (faller_iff_below_threshold 3 bystander 2 20 bystander_distribution); [lra | lia |].
    pose proof (threshold_near_end 3 bystander 2 0 20 bystander_distribution bystander_runner_up) as T.
    specialize (T ltac:(lra)).
    assert (L : Ropp 2 < ln (45/100)).
    { rewrite <- (ln_exp (Ropp 2)). apply ln_increasing; [apply exp_pos|].
      pose proof (exp_neg_le 2). lra. }
    unfold bystander, listed in *. cbn [nth] in *. lra.
Qed.

(** "A peakier π squeezes more": y* gains more mass from (1/2, 1/4, 1/4†) than from
    (0.99, 0.005, 0.005†). *)
Definition peaked : nat -> R := listed [99/100; 5/1000; 5/1000].

Lemma peaked_distribution : distribution 3 peaked.
Proof. listed_distribution. Qed.

Lemma peakier_gains_less_mass :
  after_negative 3 peaked 2 1 0 - peaked 0 < after_negative 3 half_quarters 2 1 0 - half_quarters 0.
Proof.
  pose proof (after_distribution 3 peaked peaked_distribution (negative peaked 2 1)) as A.
  pose proof (dist_le_1 3 _ A 0) as L. specialize (L ltac:(lia)). change (after_negative 3 peaked 2 1 0 <= 1) in L.
  pose proof (inverse_growth_split 3 half_quarters 2 1 0 half_quarters_distribution ltac:(lia) ltac:(lia)) as I.
  set (g := negative_growth 3 half_quarters 2 1 0) in *.
  assert (G : 0 < g) by (apply (growth_pos 3 half_quarters half_quarters_distribution)).
  assert (E : after_negative 3 half_quarters 2 1 0 = 1/2 * g) by reflexivity.
  clearbody g. unfold half_quarters, listed, ind in I. cbn [sum nth Nat.eqb] in I.
  assert (B : 1 / g < 9/10).
  { rewrite I.
    replace (1 * (1 / 2 - 1 / 2)) with 0 by ring. rewrite exp_0.
    replace (- (1 * (1 - 1 / 4 + 1 / 2))) with (- (5/4)) by field.
    replace (1 * (1 / 4 - 1 / 2)) with (- (1/4)) by field.
    pose proof (exp_neg_le (5/4)). pose proof (exp_neg_le (1/4)). lra. }
  apply div_lt_inv in B; [|assumption]. rewrite E. unfold peaked at 2, half_quarters, listed. cbn [nth]. lra.
Qed.

(** "Negative gradients sharpen": penalising the argmax of (0.7†, 0.15, 0.15) raises the entropy. *)
Definition confident : nat -> R := listed [7/10; 15/100; 15/100].

Lemma confident_distribution : distribution 3 confident.
Proof. listed_distribution. Qed.

Lemma negative_step_can_flatten :
  entropy 3 confident < entropy 3 (after_negative 3 confident 0 1).
Proof.
  set (q := after_negative 3 confident 0 1).
  pose proof (after_distribution 3 confident confident_distribution (negative confident 0 1)) as A.
  change (distribution 3 q) in A.
  pose proof (dist_pos 3 q A) as Q.
  assert (Hr : runner_up 3 confident 0 1) by listed_runner_up.
  pose proof (label_falls 3 confident 0 1 1 confident_distribution ltac:(lia) Hr ltac:(lra)) as F.
  assert (Q0 : q 0%nat = 7/10 * negative_growth 3 confident 0 1 0) by reflexivity.
  assert (Q1 : q 1%nat = 15/100 * negative_growth 3 confident 0 1 1) by reflexivity.
  assert (Q2 : q 2%nat = q 1%nat) by reflexivity.
  pose proof (dist_sum 3 q A) as S. cbn [sum] in S.
  (* π′ stays above the uniform distribution at y *)
  assert (U : q 1%nat <= q 0%nat).
  { rewrite Q0, Q1. unfold negative_growth, growth.
    pose proof (partition_pos 3 confident confident_distribution (negative confident 0 1)) as Z.
    unfold Rdiv. rewrite <- !Rmult_assoc. apply Rmult_le_compat_r; [apply Rlt_le; now apply Rinv_0_lt_compat|].
    unfold negative, confident, listed, ind. cbn [nth Nat.eqb].
    replace (1 * (7 / 10 - 1)) with (- (3/10)) by field. replace (1 * (15 / 100 - 0)) with (15/100) by field.
    pose proof (exp_ineq1_le (- (3/10))). pose proof (exp_le_frac (15/100)). lra. }
  (* Gibbs: H(π) ≤ −Σ π log π′, and π′ − π moves mass to where π′ is smaller *)
  assert (K : 0 < KL 3 confident q).
  { apply (KL_pos 3 _ _ 0 confident_distribution A); [lia|].
    rewrite Q0. intro E. change (confident 0%nat) with (7/10) in E. lra. }
  unfold KL, entropy, mean in *. cbn [sum] in *.
  rewrite !ln_div in K by (try apply (dist_pos 3 confident confident_distribution); try apply Q; lia).
  rewrite Q2 in *. pose proof (ln_le _ _ (Q 1%nat ltac:(lia)) U) as M.
  unfold confident, listed in *. cbn [nth] in *.
  set (a := q 0%nat) in *. set (b := q 1%nat) in *.
  assert (B : b = (1 - a) / 2) by lra.
  assert (0 <= (7/10 - a) * (ln a - ln b)) by (apply Rmult_le_pos; lra).
  rewrite B in *. lra.
Qed.

(** The squeeze at a tiny π_y is real: (0.6, 0.3, 0.0999, 0.0001†) loses entropy at every step size. *)
Lemma tiny_label_sharpens : forall s, 0 < s ->
  entropy 4 (after_negative 4 four 3 s) < entropy 4 four.
Proof.
  intros s Hs. apply (unlikely_label_sharpens 4 four 3 0 four_distribution); [lia | listed_runner_up | assumption |].
  unfold four, listed. cbn. lra.
Qed.

(** "For uniform π, ‖π‖² = 1/√V" (App. C): it is 1/V. *)
Lemma uniform_norm : forall n, (0 < n)%nat -> norm_sq n (uniform n) = 1 / INR n.
Proof.
  intros n H. assert (0 < INR n) by (now apply lt_0_INR).
  unfold norm_sq, uniform. rewrite sum_const. field. lra.
Qed.

(** ** One positive step *)

(** "A positive step lowers all other labels": (0.9, 0.05 target, 0.05), s = 1/10, the third rises. *)
Definition rare_target : nat -> R := listed [9/10; 5/100; 5/100].

Lemma rare_target_distribution : distribution 3 rare_target.
Proof. listed_distribution. Qed.

Lemma not_all_others_fall_under_sft : 1 < positive_growth 3 rare_target 1 (1/10) 2.
Proof.
  apply (small_labels_rise_at_first 3 rare_target 1 0 (1/10) rare_target_distribution);
    [lia | listed_runner_up | lra | lia |].
  unfold rare_target. write_out. lra.
Qed.

(** A long positive step can reverse the order of two others: (1/2, 2/5, 1/10 target), s = 5. *)
Definition close_pair : nat -> R := listed [1/2; 4/10; 1/10].

Lemma close_pair_distribution : distribution 3 close_pair.
Proof. listed_distribution. Qed.

Lemma positive_step_can_reverse_order :
  close_pair 1 < close_pair 0 /\ after_positive 3 close_pair 2 5 0 < after_positive 3 close_pair 2 5 1.
Proof.
  split; [unfold close_pair, listed; cbn; lra|].
  pose proof (partition_pos 3 close_pair close_pair_distribution (positive close_pair 2 5)) as Z.
  unfold after_positive, after, growth, Rdiv. rewrite <- !Rmult_assoc.
  apply Rmult_lt_compat_r; [now apply Rinv_0_lt_compat|].
  rewrite !positive_other by lia. unfold close_pair, listed. cbn [nth].
  replace (- (5 * (4 / 10))) with (- (5 * (1 / 2)) + 1/2) by field. rewrite exp_plus.
  pose proof (exp_pos (- (5 * (1 / 2)))) as P. pose proof (exp_ineq1_le (1/2)).
  assert (exp (- (5 * (1 / 2))) * (1 + 1/2) <= exp (- (5 * (1 / 2))) * exp (1/2)) by (apply Rmult_le_compat_l; lra).
  lra.
Qed.

(** ** Two contexts *)

(** "y⁻ falls in its own context": not if y⁺'s context, with overlap 1, likes what y⁻'s dislikes.
    π⁻ = (0.01 chosen, 0.89 rejected, 0.1), π⁺ = (0.05, 0.05, 0.9), s = 1. *)
Definition rejected_context : nat -> R := listed [1/100; 89/100; 1/10].
Definition chosen_context : nat -> R := listed [5/100; 5/100; 9/10].

Lemma rejected_context_distribution : distribution 3 rejected_context.
Proof. listed_distribution. Qed.

Lemma rejected_label_can_rise :
  1 < growth 3 rejected_context (overlapping chosen_context rejected_context 0 1 1 1) 1.
Proof.
  set (d := overlapping chosen_context rejected_context 0 1 1 1).
  pose proof (inverse_growth 3 rejected_context d 1 rejected_context_distribution) as I.
  pose proof (growth_pos 3 rejected_context rejected_context_distribution d 1) as G.
  unfold mean in I. cbn [sum] in I.
  assert (E0 : d 0%nat - d 1%nat = 1 + 12/100)
    by (unfold d, overlapping, chosen_context, rejected_context, listed, ind; cbn [nth Nat.eqb]; lra).
  assert (E2 : d 2%nat - d 1%nat = - (64/100))
    by (unfold d, overlapping, chosen_context, rejected_context, listed, ind; cbn [nth Nat.eqb]; lra).
  rewrite E0, E2 in I. replace (d 1%nat - d 1%nat) with 0 in I by ring. rewrite exp_0, exp_plus in I.
  unfold rejected_context at 2 3 4, listed in I. cbn [nth] in I.
  pose proof exp_le_3 as E3. pose proof (exp_pos 1). pose proof (exp_pos (12/100)).
  pose proof (exp_le_frac (12/100)). pose proof (exp_neg_le (64/100)).
  assert (exp 1 * exp (12/100) <= 3 * (1 / (1 - 12/100))) by (apply Rmult_le_compat; lra).
  assert (B : 1 / growth 3 rejected_context d 1 < 1) by lra.
  apply div_lt_inv in B; lra.
Qed.

(** ** Modifiers *)

(** Label smoothing: y rises where π_y > 1 − ε/2, V = 2, at every step size. *)
Lemma smoothed_label_can_rise : forall e eps s, 0 < e < 1 -> 0 < s -> 1 - eps / 2 < e ->
  1 < growth 2 (pair e) (smoothed 2 (pair e) 1 eps s) 1.
Proof.
  intros e eps s He Hs H. pose proof (pair_distribution e He) as Hp.
  assert (L : smoothed 2 (pair e) 1 eps s 0 < smoothed 2 (pair e) 1 eps s 1).
  { unfold smoothed. apply Rmult_lt_compat_l; [assumption|].
    unfold pair, listed, ind. cbn [nth Nat.eqb]. lra. }
  apply (largest_rises 2 (pair e) Hp _ 1 0); [lia | | assumption].
  intros [|[|i]] Hi; [lra | lra | lia].
Qed.

(** Weight decay: y* can fall. z = (3, 0, −3†), s = 1/100, κ = 1/10. *)
Definition spread : nat -> R := listed [3; 0; - (3)].

Lemma decayed_runner_up_can_fall :
  runner_up 3 (softmax 3 spread) 2 0 /\
  softmax 3 (decayed 3 spread 2 (1/10) (1/100)) 0 < softmax 3 spread 0.
Proof.
  assert (O : forall i j, (i < 3)%nat -> (j < 3)%nat -> (softmax 3 spread i < softmax 3 spread j <-> spread i < spread j))
    by (intros; apply softmax_lt; lia).
  split.
  { split; [lia|]. split; [lia|]. intros [|[|[|i]]] Hi N; try lia; [lra|].
    apply Rlt_le, O; try lia. unfold spread, listed. cbn. lra. }
  pose proof (softmax_distribution 3 spread ltac:(lia)) as D.
  set (p := softmax 3 spread) in *. set (z := decayed 3 spread 2 (1/10) (1/100)).
  assert (I : forall w, softmax 3 w 0 = 1 / (1 + exp (w 1%nat - w 0%nat) + exp (w 2%nat - w 0%nat))).
  { intro w. unfold softmax. cbn [sum]. rewrite !exp_minus.
    pose proof (exp_pos (w 0%nat)). pose proof (exp_pos (w 1%nat)). pose proof (exp_pos (w 2%nat)).
    field. split; lra. }
  assert (B : forall i, (i < 3)%nat -> 0 < p i <= 1)
    by (intros i Hi; split; [now apply (dist_pos 3 p D) | now apply (dist_le_1 3 p D)]).
  assert (Z1 : - 3 < z 1%nat - z 0%nat).
  { unfold z, decayed. fold p. unfold spread, listed, ind. cbn [nth Nat.eqb].
    pose proof (B 0%nat ltac:(lia)). pose proof (B 1%nat ltac:(lia)). lra. }
  assert (Z2 : - 6 < z 2%nat - z 0%nat).
  { unfold z, decayed. fold p. unfold spread, listed, ind. cbn [nth Nat.eqb].
    pose proof (B 0%nat ltac:(lia)). pose proof (B 2%nat ltac:(lia)). lra. }
  unfold p. rewrite !I. replace (spread 1%nat - spread 0%nat) with (- 3) by (unfold spread, listed; cbn; lra).
  replace (spread 2%nat - spread 0%nat) with (- 6) by (unfold spread, listed; cbn; lra).
  apply exp_increasing in Z1. apply exp_increasing in Z2. pose proof (exp_pos (- 3)). pose proof (exp_pos (- 6)).
  unfold Rdiv. rewrite !Rmult_1_l. apply Rinv_lt_contravar; [apply Rmult_lt_0_compat; lra | lra].
Qed.

(** "The rich get richer whatever the optimiser": not in RMSprop's first step, π = (0.6, 0.3, 0.1†). *)
Definition graded : nat -> R := listed [6/10; 3/10; 1/10].

Lemma graded_distribution : distribution 3 graded.
Proof. listed_distribution. Qed.

Lemma rmsprop_does_not_enrich : forall s lr a, 0 < s -> 0 < lr -> a < 1 ->
  graded 1 < graded 0
  /\ negative_growth 3 graded 2 s 1 < negative_growth 3 graded 2 s 0
  /\ growth 3 graded (rmsprop_first graded 2 lr a) 1 = growth 3 graded (rmsprop_first graded 2 lr a) 0.
Proof.
  intros s lr a Hs Hl Ha. assert (L : graded 1 < graded 0) by (unfold graded, listed; cbn; lra).
  split; [assumption|]. split.
  - apply (growth_order 3 graded 2 s graded_distribution Hs); [lia | lia | assumption].
  - apply (rmsprop_others_rise_alike 3 graded 2 0 lr a graded_distribution); lia || assumption || (split; lia).
Qed.

(** "y⁻ falls and y⁺ rises in any pair": not with very unequal weights. (0.9, 0.05⁺, 0.05⁻), w = (1, 1/100),
    s = 1/10, and (0.6, 0.01⁺, 0.39⁻), w = (1/100, 1), s = 1. *)
Definition rare_chosen : nat -> R := listed [6/10; 1/100; 39/100].

Lemma rare_chosen_distribution : distribution 3 rare_chosen.
Proof. listed_distribution. Qed.

Lemma unequal_weights_can_fail :
  1 < growth 3 rare_target (both_signs rare_target 1 2 1 (1/100) (1/10)) 2
  /\ growth 3 rare_chosen (both_signs rare_chosen 1 2 (1/100) 1 1) 1 < 1.
Proof.
  split.
  - apply div_gt_1; [exact (partition_pos 3 rare_target rare_target_distribution _)|].
    unfold partition, mean, both_signs, rare_target, listed, ind. cbn [sum nth Nat.eqb].
    replace (1 / 10 * (1 * (0 - 9 / 10) - 1 / 100 * (0 - 9 / 10))) with (- (891/10000)) by field.
    replace (1 / 10 * (1 * (1 - 5 / 100) - 1 / 100 * (0 - 5 / 100))) with (9505/100000) by field.
    replace (1 / 10 * (1 * (0 - 5 / 100) - 1 / 100 * (1 - 5 / 100))) with (- (595/100000)) by field.
    pose proof (exp_neg_le (891/10000)). pose proof (exp_le_frac (9505/100000)).
    pose proof (exp_ineq1_le (- (595/100000))). lra.
  - apply div_lt_1; [exact (partition_pos 3 rare_chosen rare_chosen_distribution _)|].
    unfold partition, mean, both_signs, rare_chosen, listed, ind. cbn [sum nth Nat.eqb].
    replace (1 * (1 / 100 * (0 - 6 / 10) - 1 * (0 - 6 / 10))) with (594/1000) by field.
    replace (1 * (1 / 100 * (1 - 1 / 100) - 1 * (0 - 1 / 100))) with (199/10000) by field.
    replace (1 * (1 / 100 * (0 - 39 / 100) - 1 * (1 - 39 / 100))) with (- (6139/10000)) by field.
    pose proof (exp_le_frac (199/10000)). pose proof (exp_ineq1_le (594/1000)).
    pose proof (exp_ineq1_le (- (6139/10000))). pose proof (exp_pos (199/10000)). lra.
Qed.
