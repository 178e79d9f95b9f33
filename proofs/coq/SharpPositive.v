(** The sharp remainder of a positive step (paper: eq. 3; beyond it).

    The least C with KL(π ‖ π′) ≤ C·s² for every V, π, y and s is the supremum over 0 < x < 1/2 of
      F(x) = (1 − 2x)(1 − x)²/log((1 − x)/x),
    attained at V = 2, π_y = x, s = log((1 − x)/x)/(1 − x); its value is about 0.2955, so the 27/128 of a
    negative step does not hold here. The route: Kearns and Saul's inequality for two values, whose
    tilted probability is a logistic function, concave to the right of 0; and a two-valued reduction
    in which a third label can only help. *)

From Coq Require Import Reals Lra Lia List.
From Ldyn Require Import Sums Calculus Softmax Adaptation Remainder PositiveStep CounterExamples.
Local Open Scope R_scope.

(** log((1 − h)/h). *)
Definition logit (h : R) : R := ln ((1 - h) / h).

Definition positive_constant (x : R) : R := (1 - 2 * x) * ((1 - x) * (1 - x)) / logit x.

Lemma logit_exp : forall h, 0 < h < 1 -> exp (logit h) = (1 - h) / h.
Proof. intros h H. apply exp_ln. apply Rdiv_lt_0_compat; lra. Qed.

Lemma logit_pos : forall h, 0 < h < 1 / 2 -> 0 < logit h.
Proof.
  intros h H. unfold logit. rewrite <- ln_1. apply ln_increasing; [lra | apply lt_div; lra].
Qed.

Lemma logit_decreasing : forall h x, 0 < h -> h <= x -> x < 1 -> logit x <= logit h.
Proof.
  intros h x Hh L Hx. unfold logit. apply ln_le; [apply Rdiv_lt_0_compat; lra|].
  apply div_le; [lra|]. replace ((1 - h) / h * x) with ((1 - h) * x / h) by (field; lra).
  apply le_div; [assumption|]. lra.
Qed.

(** ** The logistic function, concave to the right of 0 *)

Definition logistic (x : R) : R := tilted (1 / 2) x - 1 / 2.

Lemma half_range : 0 <= 1 / 2 <= 1.
Proof. lra. Qed.

Lemma logistic_0 : logistic 0 = 0.
Proof. unfold logistic. rewrite tilted_0. ring. Qed.

Lemma logistic_derivative : forall x,
  derivable_pt_lim logistic x (tilted (1 / 2) x * (1 - tilted (1 / 2) x)).
Proof.
  intro x. apply (dl_val _ _ (tilted (1 / 2) x * (1 - tilted (1 / 2) x) - 0)); [|ring].
  apply (dl_minus (tilted (1 / 2)) (fun _ => 1 / 2)); [apply tilted_derivative, half_range | apply dl_const].
Qed.

Lemma logistic_concave : forall l x, 0 <= l <= 1 -> 0 <= x -> l * logistic x <= logistic (l * x).
Proof.
  intros l x Hl Hx.
  set (t := tilted (1 / 2)).
  pose proof (grows (fun v => logistic (l * v) - l * logistic v)
    (fun v => t (l * v) * (1 - t (l * v)) * l - l * (t v * (1 - t v))) 0 x Hx) as G.
  cbv beta in G. rewrite Rmult_0_r, logistic_0 in G.
  enough (0 - l * 0 <= logistic (l * x) - l * logistic x) by lra.
  apply G.
  - intros v Hv. apply (dl_minus (fun v => logistic (l * v)) (fun v => l * logistic v)).
    + apply (derivable_pt_lim_comp (fun v => l * v) logistic); [|apply logistic_derivative].
      apply (dl_val _ _ (l * 1)); [|ring]. apply (dl_scal l (fun v => v)). apply dl_id.
    + apply (dl_scal l logistic). apply logistic_derivative.
  - intros v Hv.
    assert (L0 : 0 <= l * v) by (apply Rmult_le_pos; lra).
    assert (L1 : l * v <= v) by (rewrite <- (Rmult_1_l v) at 2; apply Rmult_le_compat_r; lra).
    pose proof (tilted_grows (1 / 2) 0 (l * v) half_range L0) as A. rewrite tilted_0 in A.
    pose proof (tilted_grows (1 / 2) (l * v) v half_range L1) as B.
    pose proof (tilted_range (1 / 2) v half_range) as C. fold t in A, B, C.
    assert (t v * (1 - t v) <= t (l * v) * (1 - t (l * v))) as D.
    { assert (0 <= (t v - t (l * v)) * (t v + t (l * v) - 1)) by (apply Rmult_le_pos; lra). lra. }
    pose proof (Rmult_le_compat_l l _ _ (proj1 Hl) D). lra.
Qed.

Lemma logistic_odd : forall x, logistic (- x) = - logistic x.
Proof.
  intro x. unfold logistic, tilted. rewrite exp_Ropp. pose proof (exp_pos x). field. lra.
Qed.

(** The tilted probability of a two-valued variable is a shifted logistic function. *)
Lemma tilted_logistic : forall h t, 0 < h < 1 -> tilted h t = logistic (t - logit h) + 1 / 2.
Proof.
  intros h t H. unfold logistic, tilted. rewrite exp_minus, (logit_exp h H). pose proof (exp_pos t).
  assert (0 < h * exp t) by (apply Rmult_lt_0_compat; lra). field. repeat split; lra.
Qed.

Lemma logistic_of_logit : forall h, 0 < h < 1 -> logistic (logit h) = 1 / 2 - h.
Proof.
  intros h H. replace (logit h) with (- (0 - logit h)) by ring. rewrite logistic_odd.
  pose proof (tilted_logistic h 0 H) as T. rewrite tilted_0 in T. lra.
Qed.

(** Between a chord and the origin: the sign of c·x − logistic(x), c = logistic(λ)/λ. *)
Lemma chord_below : forall lam x, 0 < lam -> 0 <= x <= lam -> logistic lam / lam * x <= logistic x.
Proof.
  intros lam x Hl Hx. set (l := x / lam).
  assert (E : l * lam = x) by (unfold l; field; lra).
  assert (0 <= l <= 1) by (split; [apply le_div; lra | apply div_le; lra]).
  pose proof (logistic_concave l lam H (Rlt_le _ _ Hl)) as C. rewrite E in C.
  replace (logistic lam / lam * x) with (l * logistic lam) by (rewrite <- E; field; lra). assumption.
Qed.

Lemma chord_above : forall lam x, 0 < lam -> lam <= x -> logistic x <= logistic lam / lam * x.
Proof.
  intros lam x Hl Hx. pose proof (chord_below x lam ltac:(lra) ltac:(lra)) as C.
  replace (logistic lam / lam * x) with (logistic lam * x / lam) by (field; lra).
  apply le_div; [assumption|].
  replace (logistic x / x * lam) with (logistic x * lam / x) in C by (field; lra).
  apply div_le_inv in C; lra.
Qed.

(** ** Kearns and Saul *)

(** At u = 2λ the bound is met. *)
Lemma two_point_at_twice_logit : forall h, 0 < h < 1 -> two_point h (2 * logit h) = (1 - 2 * h) * logit h.
Proof.
  intros h H. unfold two_point.
  replace (exp (2 * logit h)) with (exp (logit h) * exp (logit h)) by (rewrite <- exp_plus; f_equal; ring).
  rewrite (logit_exp h H).
  replace (1 - h + h * ((1 - h) / h * ((1 - h) / h))) with ((1 - h) / h) by (field; lra).
  change (ln ((1 - h) / h)) with (logit h). ring.
Qed.

Lemma kearns_saul : forall h u, 0 < h < 1 / 2 -> 0 <= u ->
  two_point h u <= logistic (logit h) / logit h * (u * u) / 2.
Proof.
  intros h u H Hu. pose proof (logit_pos h H) as L. set (lam := logit h) in *.
  set (c := logistic lam / lam). assert (H1 : 0 < h < 1) by lra.
  assert (Ec : c * lam = 1 / 2 - h).
  { unfold c. replace (logistic lam / lam * lam) with (logistic lam) by (field; lra).
    now apply logistic_of_logit. }
  set (D := fun v => c * (v * v) / 2 - two_point h v).
  assert (D' : forall v, derivable_pt_lim D v (c * v - (tilted h v - h))).
  { intro v. apply (dl_minus (fun v => c * (v * v) / 2) (two_point h)); [apply quadratic_derivative|].
    apply two_point_derivative. lra. }
  assert (E : forall v, c * v - (tilted h v - h) = c * (v - lam) - logistic (v - lam)).
  { intro v. rewrite (tilted_logistic h v H1). fold lam. lra. }
  assert (D0 : D 0 = 0) by (unfold D; rewrite two_point_0; lra).
  assert (D2 : D (2 * lam) = 0).
  { unfold D, lam. rewrite (two_point_at_twice_logit h H1). fold lam.
    replace (c * (2 * lam * (2 * lam)) / 2) with (2 * (c * lam) * lam) by field. rewrite Ec. field. }
  enough (0 <= D u) by (unfold D in H0; lra).
  destruct (Rle_or_lt u lam) as [A|A].
  - (* the derivative is not negative on [0, λ] *)
    rewrite <- D0. apply (grows D (fun v => c * v - (tilted h v - h))); [assumption | intros; apply D' |].
    intros v Hv. rewrite E. replace (v - lam) with (- (lam - v)) by ring. rewrite logistic_odd.
    pose proof (chord_below lam (lam - v) L ltac:(lra)) as C. fold c in C. lra.
  - destruct (Rle_or_lt u (2 * lam)) as [B|B].
    + (* not positive on [λ, 2λ], where D ends at 0 *)
      pose proof (grows (fun v => 0 - D v) (fun v => 0 - (c * v - (tilted h v - h))) u (2 * lam) B) as G.
      cbv beta in G. rewrite D2 in G. enough (0 - D u <= 0 - 0) by lra. apply G.
      * intros v Hv. apply (dl_minus (fun _ => 0) D); [apply dl_const | apply D'].
      * intros v Hv. rewrite E. pose proof (chord_below lam (v - lam) L ltac:(lra)) as C. fold c in C. lra.
    + rewrite <- D2. apply (grows D (fun v => c * v - (tilted h v - h))); [lra | intros; apply D' |].
      intros v Hv. rewrite E. pose proof (chord_above lam (v - lam) L ltac:(lra)) as C. fold c in C. lra.
Qed.

(** The constant grows with h up to 1/2. *)
Lemma two_point_le_at : forall h x u, 0 <= h <= x -> 0 < x < 1 / 2 -> 0 <= u ->
  two_point h u <= logistic (logit x) / logit x * (u * u) / 2.
Proof.
  intros h x u Hh Hx Hu. pose proof (logit_pos x Hx) as Lx.
  assert (Cx : 0 <= logistic (logit x) / logit x).
  { apply le_div; [assumption|]. rewrite logistic_of_logit; lra. }
  destruct (Req_dec h 0) as [Z|N].
  - subst h. unfold two_point. replace (1 - 0 + 0 * exp u) with 1 by ring. rewrite ln_1.
    assert (0 <= logistic (logit x) / logit x * (u * u)) by (apply Rmult_le_pos; [assumption | apply Rle_0_sqr]).
    lra.
  - assert (H1 : 0 < h < 1 / 2) by lra. apply Rle_trans with (1 := kearns_saul h u H1 Hu).
    pose proof (logit_pos h H1) as Lh.
    pose proof (logit_decreasing h x ltac:(lra) ltac:(lra) ltac:(lra)) as M.
    pose proof (chord_above (logit x) (logit h) Lx M) as C.
    assert (logistic (logit h) / logit h <= logistic (logit x) / logit x) by (apply div_le; assumption).
    assert (0 <= u * u) as U by apply Rle_0_sqr.
    pose proof (Rmult_le_compat_r _ _ _ U H). lra.
Qed.

(** ** The positive step *)

Lemma positive_constant_value : forall x, 0 < x < 1 / 2 ->
  logistic (logit x) / logit x * ((2 * (1 - x)) * (2 * (1 - x))) / 2 = positive_constant x.
Proof.
  intros x H. pose proof (logit_pos x H). rewrite logistic_of_logit by lra. unfold positive_constant.
  field. lra.
Qed.

(** log 9 < 3, so F(1/10) > 0.216 > 27/128 > 1/8. *)
Lemma positive_constant_tenth : 27 / 128 < positive_constant (1 / 10).
Proof.
  assert (L : logit (1 / 10) < 3).
  { unfold logit. replace ((1 - 1 / 10) / (1 / 10)) with 9 by field. rewrite <- (ln_exp 3).
    apply ln_increasing; [lra|].
    replace 3 with (3 / 4 + 3 / 4 + 3 / 4 + 3 / 4) by field. rewrite !exp_plus.
    pose proof (exp_ineq1_le (3 / 4)) as E. set (a := exp (3 / 4)) in *.
    assert (49 / 16 <= a * a) by (apply Rle_trans with (7 / 4 * (7 / 4)); [lra | apply Rmult_le_compat; lra]).
    assert (49 / 16 * (49 / 16) <= a * a * (a * a)) by (apply Rmult_le_compat; lra). lra. }
  pose proof (logit_pos (1 / 10)) as P. unfold positive_constant. apply lt_div; lra.
Qed.

(** Any bound C of F bounds the remainder of every positive step by C·s². *)
Lemma positive_uniform : forall n p y c s C, distribution n p -> (y < n)%nat -> runner_up n p y c -> 0 < s ->
  (forall x, 0 < x < 1 / 2 -> positive_constant x <= C) ->
  KL n p (after n p (positive p y s)) <= C * (s * s).
Proof.
  intros n p y c s C Hp Hy Hc Hs B. assert (S0 : 0 <= s * s) by apply Rle_0_sqr.
  pose proof (dist_pos n p Hp y Hy) as Py. pose proof (dist_pos n p Hp c (proj1 Hc)) as Pc.
  assert (Nyc : y <> c) by (intro E; now apply (proj1 (proj2 Hc))).
  pose proof (dist_two n p Hp y c Hy (proj1 Hc) Nyc) as T.
  set (r := 1 - p y + p c).
  destruct (Rle_or_lt r 1) as [R|R].
  - apply Rle_trans with (1 := positive_hoeffding n p y c s Hp Hy Hc Hs). fold r.
    assert (r * r <= 1) by (assert (0 < r) by (unfold r; lra); nra).
    pose proof (B (1 / 10) ltac:(lra)) as B1. pose proof positive_constant_tenth as B2.
    pose proof (Rmult_le_compat_l _ _ _ S0 H).
    assert (1 / 8 * (s * s) <= C * (s * s)) by (apply Rmult_le_compat_r; lra). lra.
  - set (x := 1 - r / 2). assert (Hx : 0 < x < 1 / 2) by (unfold x, r in *; lra).
    set (a := - (s * p c)). set (b := s * (1 - p y)).
    assert (E : b - a = s * r) by (unfold a, b, r; ring).
    assert (Psr : 0 < s * r) by (apply Rmult_lt_0_compat; lra).
    destruct (KL_le_two_point n p (positive p y s) a b Hp) as [Hh K];
      [lra | exact (positive_range n p y c s Hp Hy Hc Hs) |].
    rewrite E in K, Hh. set (h := (mean n p (positive p y s) - a) / (s * r)) in *.
    assert (Eh : h * r = p y - norm_sq n p + p c).
    { unfold h, a. rewrite (mean_positive n p y s Hy). field. split; lra. }
    pose proof (norm_ge_two n p y c Hy Hc) as N.
    assert (G : h <= x).
    { apply (Rmult_le_reg_r r); [lra|]. rewrite Eh.
      pose proof (Rle_0_sqr (1 - p y - p c)) as Q. unfold Rsqr in Q. unfold x, r. lra. }
    apply Rle_trans with (1 := K).
    apply Rle_trans with (1 := two_point_le_at h x (s * r) (conj (proj1 Hh) G) Hx (Rlt_le _ _ Psr)).
    replace (logistic (logit x) / logit x * (s * r * (s * r)) / 2)
      with (logistic (logit x) / logit x * ((2 * (1 - x)) * (2 * (1 - x))) / 2 * (s * s)).
    + rewrite (positive_constant_value x Hx). apply Rmult_le_compat_r; [assumption | now apply B].
    + pose proof (logit_pos x Hx). unfold x at 3 4. field. lra.
Qed.

(** F(x) is attained: V = 2, π_y = x, s = log((1 − x)/x)/(1 − x). *)
Lemma positive_attained : forall x, 0 < x < 1 / 2 ->
  let s := logit x / (1 - x) in
  0 < s /\ KL 2 (pair x) (after 2 (pair x) (positive (pair x) 1 s)) = positive_constant x * (s * s).
Proof.
  intros x H s. pose proof (logit_pos x H) as L.
  assert (Hs : 0 < s) by (apply Rdiv_lt_0_compat; lra). split; [assumption|].
  assert (Hp : distribution 2 (pair x)) by (apply pair_distribution; lra).
  rewrite (KL_after 2 (pair x) Hp).
  assert (Es : s * (1 - x) = logit x) by (unfold s; field; lra).
  assert (E0 : positive (pair x) 1 s 0 = - logit x).
  { unfold positive, pair, listed, ind. cbn [nth Nat.eqb]. lra. }
  assert (E1 : positive (pair x) 1 s 1 = logit x).
  { unfold positive, pair, listed, ind. cbn [nth Nat.eqb]. lra. }
  unfold partition, mean. cbn [sum]. rewrite E0, E1. change (pair x 0) with (1 - x). change (pair x 1) with x.
  assert (Z : 0 + (1 - x) * exp (- logit x) + x * exp (logit x) = exp (- logit x) * (1 - x + x * exp (2 * logit x))).
  { replace (exp (logit x)) with (exp (- logit x) * exp (2 * logit x)) by (rewrite <- exp_plus; f_equal; ring). ring. }
  rewrite Z, ln_mult, ln_exp; [|apply exp_pos | apply two_point_base; lra].
  pose proof (two_point_at_twice_logit x ltac:(lra)) as T. unfold two_point in T.
  unfold positive_constant. replace ((1 - 2 * x) * ((1 - x) * (1 - x)) / logit x * (s * s))
    with ((1 - 2 * x) * ((s * (1 - x)) * (s * (1 - x))) / logit x) by (field; lra).
  rewrite Es. replace ((1 - 2 * x) * (logit x * logit x) / logit x) with ((1 - 2 * x) * logit x) by (field; lra).
  lra.
Qed.

(** So the constant of a negative step is too small for a positive one. *)
Lemma positive_exceeds_negative : exists s, 0 < s /\
  27 / 128 * (s * s) < KL 2 (pair (1 / 10)) (after 2 (pair (1 / 10)) (positive (pair (1 / 10)) 1 s)).
Proof.
  destruct (positive_attained (1 / 10) ltac:(lra)) as [Hs E].
  set (s := logit (1 / 10) / (1 - 1 / 10)) in *. exists s. split; [assumption|].
  rewrite E. apply Rmult_lt_compat_r; [now apply Rmult_lt_0_compat | exact positive_constant_tenth].
Qed.
