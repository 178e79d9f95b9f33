(** One negative step on y, exact for every step size (paper: §3.3, App. E; N1–N9, N12, N13).

    Everything rests on d = s·(π − e_y): it is smallest at y, largest at y*, and among the other
    labels it is ordered as π. The threshold is τ(s) = (log Z)/s. *)

From Coq Require Import Reals Lra Lia.
From Ldyn Require Import Sums Calculus Softmax Adaptation Remainder.
Open Scope R_scope.

(** α_i of a negative step of size s on y. *)
Definition negative_growth (n : nat) (p : nat -> R) (y : nat) (s : R) (i : nat) : R :=
  growth n p (negative p y s) i.

(** π′ of that step. *)
Definition after_negative (n : nat) (p : nat -> R) (y : nat) (s : R) (i : nat) : R :=
  after n p (negative p y s) i.

(** τ(s): a label i ≠ y rises exactly if π_i > τ(s). *)
Definition threshold (n : nat) (p : nat -> R) (y : nat) (s : R) : R :=
  ln (partition n p (negative p y s)) / s.

Lemma negative_label : forall p y s, negative p y s y = s * (p y - 1).
Proof. intros. unfold negative. now rewrite ind_same. Qed.

Lemma negative_other : forall p y s i, i <> y -> negative p y s i = s * p i.
Proof. intros. unfold negative. rewrite ind_other by assumption. ring. Qed.

Section Step.
  Variables (n : nat) (p : nat -> R) (y t : nat) (s : R).
  Hypothesis Hp : distribution n p.
  Hypothesis Hy : (y < n)%nat.
  Hypothesis Ht : runner_up n p y t.
  Hypothesis Hs : 0 < s.

  Let d := negative p y s.
  Let tn : (t < n)%nat := proj1 Ht.
  Let ty : t <> y := proj1 (proj2 Ht).

  Lemma label_below : forall i, (i < n)%nat -> i <> y -> d y < d i.
  Proof.
    intros i Hi N. unfold d. rewrite negative_label, negative_other by assumption.
    apply Rmult_lt_compat_l; [assumption|].
    pose proof (dist_pos n p Hp i Hi). pose proof (dist_le_1 n p Hp y Hy). lra.
  Qed.

  Lemma runner_up_above : forall i, (i < n)%nat -> d i <= d t.
  Proof.
    intros i Hi. destruct (Nat.eq_dec i y) as [E|N].
    - subst i. apply Rlt_le, label_below; assumption.
    - unfold d. rewrite !negative_other by assumption. apply Rmult_le_compat_l; [lra|].
      now apply (proj2 (proj2 Ht)).
  Qed.

  (** ** N1 and N2 *)

  Lemma label_falls : negative_growth n p y s y < 1.
  Proof.
    apply (smallest_falls n p Hp d y t tn); [|now apply label_below].
    intros i Hi. destruct (Nat.eq_dec i y) as [E|N]; [subst; lra | apply Rlt_le; now apply label_below].
  Qed.

  Lemma label_falls_most : forall i, (i < n)%nat -> i <> y ->
    negative_growth n p y s y < negative_growth n p y s i.
  Proof. intros i Hi N. apply (growth_lt n p Hp d). now apply label_below. Qed.

  Lemma runner_up_rises : 1 < negative_growth n p y s t.
  Proof.
    apply (largest_rises n p Hp d t y Hy); [exact runner_up_above | now apply label_below].
  Qed.

  Lemma runner_up_rises_most : forall i, (i < n)%nat ->
    negative_growth n p y s i <= negative_growth n p y s t.
  Proof. intros i Hi. apply (growth_le n p Hp d). now apply runner_up_above. Qed.

  (** Among labels other than y the growth factors are ordered as the probabilities. *)
  Lemma growth_order : forall i j, i <> y -> j <> y ->
    (negative_growth n p y s i < negative_growth n p y s j <-> p i < p j).
  Proof.
    intros i j Ni Nj. unfold negative_growth. rewrite (growth_lt n p Hp).
    rewrite !negative_other by assumption. split; intro H.
    - apply (Rmult_lt_reg_l s); assumption.
    - now apply Rmult_lt_compat_l.
  Qed.

  Lemma growth_tie : forall i j, i <> y -> j <> y ->
    (negative_growth n p y s i = negative_growth n p y s j <-> p i = p j).
  Proof.
    intros i j Ni Nj. unfold negative_growth. rewrite (growth_eq n p Hp).
    rewrite !negative_other by assumption. split; intro H.
    - apply (Rmult_eq_reg_l s); lra.
    - now rewrite H.
  Qed.

  Lemma ties_at_the_top : forall i, (i < n)%nat ->
    (negative_growth n p y s i = negative_growth n p y s t <-> i <> y /\ p i = p t).
  Proof.
    intros i Hi. destruct (Nat.eq_dec i y) as [E|N].
    - subst. split; [|now intros [H _]]. intro H.
      pose proof (label_falls_most t tn ty). lra.
    - rewrite growth_tie by assumption. now split.
  Qed.

  (** ** N3 *)

  Lemma odds_change : forall i j, (i < n)%nat -> (j < n)%nat -> i <> y -> j <> y ->
    ln (after_negative n p y s i / after_negative n p y s j) - ln (p i / p j) = s * (p i - p j).
  Proof.
    intros i j Hi Hj Ni Nj. unfold after_negative. rewrite (odds_after n p Hp) by assumption.
    rewrite !negative_other by assumption. ring.
  Qed.

  Lemma odds_change_against_label : forall i, (i < n)%nat -> i <> y ->
    ln (after_negative n p y s i / after_negative n p y s y) - ln (p i / p y) = s * (1 + p i - p y)
    /\ 0 < s * (1 + p i - p y).
  Proof.
    intros i Hi N. split.
    - unfold after_negative. rewrite (odds_after n p Hp) by assumption.
      rewrite negative_label, negative_other by assumption. ring.
    - apply Rmult_lt_0_compat; [assumption|].
      pose proof (dist_pos n p Hp i Hi). pose proof (dist_le_1 n p Hp y Hy). lra.
  Qed.

  (** ** N4: the threshold *)

  Lemma threshold_times : s * threshold n p y s = ln (partition n p d).
  Proof. unfold threshold. fold d. field. lra. Qed.

  Lemma riser_iff_above_threshold : forall i, i <> y ->
    (1 < negative_growth n p y s i <-> threshold n p y s < p i).
  Proof.
    intros i N. unfold negative_growth. rewrite (growth_gt_1 n p Hp). fold d.
    rewrite <- threshold_times. unfold d. rewrite negative_other by assumption.
    split; intro H; [apply (Rmult_lt_reg_l s); assumption | now apply Rmult_lt_compat_l].
  Qed.

  Lemma faller_iff_below_threshold : forall i, i <> y ->
    (negative_growth n p y s i < 1 <-> p i < threshold n p y s).
  Proof.
    intros i N. unfold negative_growth. rewrite (growth_lt_1 n p Hp). fold d.
    rewrite <- threshold_times. unfold d. rewrite negative_other by assumption.
    split; intro H; [apply (Rmult_lt_reg_l s); assumption | now apply Rmult_lt_compat_l].
  Qed.

  Lemma threshold_range : p y - 1 < threshold n p y s < p t.
  Proof.
    split; apply (Rmult_lt_reg_l s); try assumption; rewrite threshold_times.
    - apply (ln_partition_gt n p Hp d _ t tn).
      + intros i Hi. unfold d. rewrite <- negative_label.
        destruct (Nat.eq_dec i y) as [E|N]; [subst; lra | apply Rlt_le; now apply label_below].
      + unfold d. rewrite <- negative_label. now apply label_below.
    - apply (ln_partition_lt n p Hp d _ y Hy).
      + intros i Hi. unfold d. rewrite <- (negative_other p y s t) by assumption. now apply runner_up_above.
      + unfold d. rewrite <- (negative_other p y s t) by assumption. now apply label_below.
  Qed.

  (** Its small-step limit ‖π‖² − π_y bounds it from below, strictly … *)
  Lemma threshold_above_start : norm_sq n p - p y < threshold n p y s.
  Proof.
    apply (Rmult_lt_reg_l s); [assumption|]. rewrite threshold_times, <- (mean_negative n p y s Hy).
    fold d. destruct (Req_dec (d y) (mean n p d)) as [E|N].
    - apply (ln_partition_gt_mean n p Hp d t tn). pose proof (label_below t tn ty). lra.
    - now apply (ln_partition_gt_mean n p Hp d y Hy).
  Qed.

  (** … and it is at most s·(1 − π_y + π_{y*})²/8 above that. *)
  Lemma threshold_near_start :
    threshold n p y s - (norm_sq n p - p y) <= s * ((1 - p y + p t) * (1 - p y + p t)) / 8.
  Proof.
    apply (Rmult_le_reg_l s); [assumption|].
    pose proof (negative_hoeffding n p y t s Hp Hy Ht Hs) as K.
    rewrite (KL_after n p Hp), (mean_negative n p y s Hy) in K. fold d in K. rewrite <- threshold_times in K.
    lra.
  Qed.

  (** For long steps it approaches π_{y*}. *)
  Lemma threshold_near_end : p t - threshold n p y s <= - ln (p t) / s.
  Proof.
    pose proof (dist_pos n p Hp t tn) as P.
    apply le_div; [assumption|]. rewrite Rmult_minus_distr_r, (Rmult_comm (threshold n p y s)), threshold_times.
    assert (ln (p t * exp (s * p t)) <= ln (partition n p d)).
    { apply ln_le; [apply Rmult_lt_0_compat; [assumption | apply exp_pos]|].
      rewrite <- (negative_other p y s t) by assumption.
      apply (mean_ge_term n p Hp (fun j => exp (d j)) t tn). intros. apply Rlt_le, exp_pos. }
    rewrite ln_mult, ln_exp in H by (assumption || apply exp_pos). lra.
  Qed.

  (** ** N5: small steps *)

  (** Whatever the step, a label not above ‖π‖² − π_y falls … *)
  Lemma falls_if_below_start : forall i, i <> y ->
    p i <= norm_sq n p - p y -> negative_growth n p y s i < 1.
  Proof.
    intros i N H. apply faller_iff_below_threshold; [assumption|].
    pose proof threshold_above_start. lra.
  Qed.

  (** … and one above it rises while s·(1 − π_y + π_{y*})²/8 is below the difference. *)
  Lemma rises_if_above_start : forall i, i <> y ->
    s * ((1 - p y + p t) * (1 - p y + p t)) / 8 < p i - (norm_sq n p - p y) ->
    1 < negative_growth n p y s i.
  Proof.
    intros i N H. apply riser_iff_above_threshold; [assumption|].
    pose proof threshold_near_start. lra.
  Qed.

  (** If π_y ≥ ‖π‖², as where y is the argmax, every other label rises at first. *)
  Lemma all_rise_if_label_is_likely : norm_sq n p <= p y ->
    forall i, (i < n)%nat -> i <> y -> s <= 2 * p i -> 1 < negative_growth n p y s i.
  Proof.
    intros H i Hi N L. apply rises_if_above_start; [assumption|].
    pose proof (dist_pos n p Hp i Hi). pose proof (dist_pos n p Hp t tn).
    pose proof (dist_pos n p Hp y Hy). pose proof (dist_two n p Hp y t Hy tn (fun E => ty (eq_sym E))).
    assert (Q : (1 - p y + p t) * (1 - p y + p t) < 4) by nra.
    pose proof (Rmult_lt_compat_l _ _ _ Hs Q). lra.
  Qed.

  (** ** N6: the 1/√3 law *)

  Lemma others_fall_above_one_over_root_three : 1 / sqrt 3 < p t ->
    forall i, (i < n)%nat -> i <> t -> negative_growth n p y s i < 1.
  Proof.
    intros H i Hi Nt. destruct (Nat.eq_dec i y) as [E|N]; [subst; exact label_falls|].
    apply falls_if_below_start; [assumption|].
    pose proof (dist_pos n p Hp) as P. pose proof (P i Hi). pose proof (P y Hy). pose proof (P t tn).
    (* the three probabilities stay below 1, and ‖π‖² is at least their squares *)
    assert (S : p t + p i + p y <= 1).
    { rewrite <- (dist_sum n p Hp). apply sum_ge_three; auto. intros. apply Rlt_le. auto. }
    assert (Q : p t * p t + p i * p i + p y * p y <= norm_sq n p).
    { apply (sum_ge_three n (fun j => p j * p j)); auto. intros. apply Rle_0_sqr. }
    assert (T : 1 / 3 < p t * p t).
    { assert (R3 : 0 < sqrt 3) by (apply sqrt_lt_R0; lra).
      assert (S3 : sqrt 3 * sqrt 3 = 3) by (apply sqrt_sqrt; lra).
      assert (0 < 1 / sqrt 3) by (apply Rdiv_lt_0_compat; lra).
      replace (1 / 3) with (1 / sqrt 3 * (1 / sqrt 3)).
      - apply Rmult_gt_0_lt_compat; lra.
      - replace (1 / sqrt 3 * (1 / sqrt 3)) with (1 / (sqrt 3 * sqrt 3)) by (field; lra). now rewrite S3. }
    (* u − u²/2 ≤ 1/2 − π_{y*}²/2 < π_{y*}² for u = π_i + π_y ≤ 1 − π_{y*} *)
    assert (A : p t * p t <= (1 - p i - p y) * (1 - p i - p y)) by (apply Rmult_le_compat; lra).
    pose proof (Rle_0_sqr (p i - p y)) as B. unfold Rsqr in B. lra.
  Qed.

  (** ** N8: no label falls by more than the step, nor y by twice that *)

  Lemma partition_below : partition n p d < exp (s * p t).
  Proof.
    rewrite <- (negative_other p y s t) by assumption.
    apply (mean_lt_max n p Hp _ _ y Hy).
    - intros i Hi. apply exp_le. now apply runner_up_above.
    - apply exp_increasing. now apply label_below.
  Qed.

  Lemma growth_above : forall i c, negative p y s i - s * p t = c -> exp c < negative_growth n p y s i.
  Proof.
    intros i c E. apply lt_div; [apply (partition_pos n p Hp)|].
    replace (exp (negative p y s i)) with (exp c * exp (s * p t)) by (rewrite <- exp_plus; f_equal; lra).
    apply Rmult_lt_compat_l; [apply exp_pos | exact partition_below].
  Qed.

  Lemma growth_lower_bound : forall i, (i < n)%nat -> i <> y ->
    exp (- s) < exp (- (s * (p t - p i))) < negative_growth n p y s i.
  Proof.
    intros i Hi N. split.
    - apply exp_increasing. pose proof (dist_pos n p Hp i Hi). pose proof (dist_lt_1 n p Hp t y tn Hy ty).
      assert (s * (p t - p i) < s * 1) by (apply Rmult_lt_compat_l; lra). lra.
    - apply growth_above. rewrite negative_other by assumption. ring.
  Qed.

  Lemma label_growth_lower_bound :
    exp (- (2 * s)) < exp (- (s * (1 + p t - p y))) < negative_growth n p y s y.
  Proof.
    split.
    - apply exp_increasing. pose proof (dist_pos n p Hp y Hy). pose proof (dist_lt_1 n p Hp t y tn Hy ty).
      assert (s * (1 + p t - p y) < s * 2) by (apply Rmult_lt_compat_l; lra). lra.
    - apply growth_above. rewrite negative_label. ring.
  Qed.

  (** log α_i from both sides, as log π_{y*} ≤ log Z − s·π_{y*} ≤ 0. *)
  Lemma log_growth_range : forall i,
    s * (p i - ind i y - p t) <= ln (negative_growth n p y s i) <= s * (p i - ind i y - p t) - ln (p t).
  Proof.
    intro i. unfold negative_growth. rewrite (ln_growth n p Hp). fold d. rewrite <- threshold_times.
    pose proof threshold_range as [_ R]. apply (Rmult_lt_compat_l s) in R; [|assumption].
    pose proof threshold_near_end as E. apply (Rmult_le_compat_l s) in E; [|lra].
    replace (s * (- ln (p t) / s)) with (- ln (p t)) in E by (field; lra).
    unfold d, negative. lra.
  Qed.

  (** ** The books: what y and the fallers lose, y* and the risers gain *)

  Lemma books_balance :
    p y - after_negative n p y s y
    + sum n (fun i => (1 - ind i t) * ((1 - ind i y) * Rmax 0 (p i - after_negative n p y s i)))
    = after_negative n p y s t - p t
      + sum n (fun i => (1 - ind i t) * ((1 - ind i y) * Rmax 0 (after_negative n p y s i - p i))).
  Proof.
    set (q := after_negative n p y s).
    pose proof (after_distribution n p Hp d) as Hq. change (distribution n q) in Hq.
    assert (B : sum n (fun i => p i - q i) = 0) by (rewrite sum_minus, (dist_sum n p Hp), (dist_sum n q Hq); ring).
    rewrite (sum_split n y _ Hy), (sum_split n t (fun i => (1 - ind i y) * (p i - q i)) tn), (ind_other t y) in B by assumption.
    rewrite (sum_ext n (fun i => (1 - ind i t) * ((1 - ind i y) * (p i - q i)))
      (fun i => (1 - ind i t) * ((1 - ind i y) * Rmax 0 (p i - q i))
                - (1 - ind i t) * ((1 - ind i y) * Rmax 0 (q i - p i)))) in B.
    - rewrite sum_minus in B. lra.
    - intros i _. enough (E : p i - q i = Rmax 0 (p i - q i) - Rmax 0 (q i - p i)) by (rewrite E at 1; ring).
      unfold Rmax. destruct (Rle_dec 0 (p i - q i)); destruct (Rle_dec 0 (q i - p i)); lra.
  Qed.

  Lemma books_signs : 0 < p y - after_negative n p y s y /\ 0 < after_negative n p y s t - p t.
  Proof.
    pose proof label_falls as F. pose proof runner_up_rises as R.
    pose proof (dist_pos n p Hp y Hy) as Py. pose proof (dist_pos n p Hp t tn) as Pt.
    unfold after_negative, after. unfold negative_growth in F, R. nra.
  Qed.
End Step.

(** Two distributions compared at one step size, by their rates at s = 0. *)
Lemma growth_lt_by_rate : forall n p q y s i, distribution n p -> distribution n q -> (2 <= n)%nat ->
  (y < n)%nat -> i <> y -> 0 < s ->
  q i - (norm_sq n q - q y) + s / 2 <= p i - (norm_sq n p - p y) ->
  negative_growth n q y s i < negative_growth n p y s i.
Proof.
  intros n p q y s i Hp Hq Hn Hy N Hs H.
  destruct (runner_up_exists n p y Hn) as [t Ht]. destruct (runner_up_exists n q y Hn) as [u Hu].
  pose proof (threshold_above_start n q y u s Hq Hy Hu Hs) as Q.
  pose proof (threshold_near_start n p y t s Hp Hy Ht Hs) as P.
  assert (B : s * ((1 - p y + p t) * (1 - p y + p t)) / 8 <= s / 2).
  { pose proof (dist_pos n p Hp y Hy). pose proof (dist_pos n p Hp t (proj1 Ht)).
    pose proof (dist_le_1 n p Hp y Hy). pose proof (dist_le_1 n p Hp t (proj1 Ht)).
    assert ((1 - p y + p t) * (1 - p y + p t) <= 4) by nra.
    apply Rle_trans with (s * 4 / 8); [|lra]. apply div_le_div; [lra|]. apply Rmult_le_compat_l; lra. }
  assert (E : forall r, distribution n r -> negative_growth n r y s i = exp (s * (r i - threshold n r y s))).
  { intros r Hr. rewrite <- (exp_ln (negative_growth n r y s i)) by (apply (growth_pos n r Hr)).
    unfold negative_growth. rewrite (ln_growth n r Hr), negative_other, <- (threshold_times n r y s Hs) by assumption.
    f_equal. ring. }
  rewrite (E p Hp), (E q Hq). apply exp_increasing, Rmult_lt_compat_l; lra.
Qed.

(** 1/√3 is sharp: between 1/3 and 1/√3 the second of π = (m, (1−m)/2, (1−m)/2†) rises. *)
Definition split_rest (m : R) (i : nat) : R := match i with O => m | _ => (1 - m) / 2 end.

Lemma split_rest_distribution : forall m, 0 < m < 1 -> distribution 3 (split_rest m).
Proof.
  intros m H. split.
  - intros [|[|[|i]]] Hi; unfold split_rest; lra || lia.
  - cbn [sum]. unfold split_rest. field.
Qed.

Lemma split_rest_runner_up : forall m, 1 / 3 <= m -> runner_up 3 (split_rest m) 2 0.
Proof.
  intros m H. split; [lia|]. split; [lia|]. intros [|[|i]] Hi N; unfold split_rest; lra || lia.
Qed.

Lemma one_over_root_three_is_sharp : forall m, 1 / 3 <= m < 1 / sqrt 3 ->
  exists s, 0 < s /\ 1 < negative_growth 3 (split_rest m) 2 s 1.
Proof.
  intros m [L U].
  assert (R3 : 0 < sqrt 3) by (apply sqrt_lt_R0; lra).
  assert (S3 : sqrt 3 * sqrt 3 = 3) by (apply sqrt_sqrt; lra).
  assert (T : m * m < 1 / 3).
  { replace (1 / 3) with (1 / sqrt 3 * (1 / sqrt 3)).
    - apply Rmult_le_0_lt_compat; lra.
    - replace (1 / sqrt 3 * (1 / sqrt 3)) with (1 / (sqrt 3 * sqrt 3)) by (field; lra). now rewrite S3. }
  assert (M : m < 1) by nra.
  assert (Hp : distribution 3 (split_rest m)) by (apply split_rest_distribution; lra).
  set (g := (1 - m) - (m * m + 2 * ((1 - m) / 2 * ((1 - m) / 2)))).
  assert (G : 0 < g) by (unfold g; nra).
  exists g. split; [assumption|].
  apply (rises_if_above_start 3 (split_rest m) 2 0 g Hp).
  { auto. } { exact (split_rest_runner_up m L). } { exact G. } { discriminate. }
  assert (E : split_rest m 1 - (norm_sq 3 (split_rest m) - split_rest m 2) = g)
    by (unfold norm_sq, split_rest, g; cbn [sum]; field).
  rewrite E. unfold split_rest.
  assert (Q : (1 - (1 - m) / 2 + m) * (1 - (1 - m) / 2 + m) < 4) by nra.
  pose proof (Rmult_lt_compat_l _ _ _ G Q). lra.
Qed.

(** N8's bounds e^{−s} and e^{−2s} are approached as π_{y*} → 1. *)
Lemma lower_bounds_are_approached : forall s c, 0 < s ->
  (exp (- s) < c -> exists m, 1 / 3 <= m < 1 /\ negative_growth 3 (split_rest m) 2 s 1 < c) /\
  (exp (- (2 * s)) < c -> exists m, 1 / 3 <= m < 1 /\ negative_growth 3 (split_rest m) 2 s 2 < c).
Proof.
  intros s c Hs.
  assert (F : forall b i, exp b < c ->
    (forall m, 0 < m < 1 -> negative (split_rest m) 2 s i - s * m <= b + 2 * s * (1 - m)) ->
    exists m, 1 / 3 <= m < 1 /\ negative_growth 3 (split_rest m) 2 s i < c).
  { intros b i Hb B. pose proof (exp_pos b) as P.
    set (e := Rmin (1 / 3) ((1 - exp b / c) / (2 * (1 + 2 * s)))).
    assert (R1 : exp b / c < 1) by (apply div_lt_1; lra).
    assert (E1 : e <= 1 / 3) by apply Rmin_l.
    assert (E2 : e <= (1 - exp b / c) / (2 * (1 + 2 * s))) by apply Rmin_r.
    assert (E0 : 0 < e) by (apply Rmin_glb_lt; [lra | apply Rdiv_lt_0_compat; lra]).
    apply (le_div_inv) in E2; [|lra].
    exists (1 - e). split; [lra|]. specialize (B (1 - e)).
    assert (Hm : 0 < 1 - e < 1) by lra. specialize (B Hm).
    pose proof (split_rest_distribution (1 - e) Hm) as Hp.
    set (d := negative (split_rest (1 - e)) 2 s) in *.
    assert (Z : (1 - e) * exp (s * (1 - e)) <= partition 3 (split_rest (1 - e)) d).
    { pose proof (mean_ge_term 3 _ Hp (fun j => exp (d j)) 0) as G. cbv beta in G.
      assert (D : d 0%nat = s * (1 - e)) by (unfold d; now rewrite negative_other by discriminate).
      rewrite D in G. apply G; [lia|].
      intros. apply Rlt_le, exp_pos. }
    pose proof (partition_pos 3 _ Hp d) as Z0.
    change (exp (d i) / partition 3 (split_rest (1 - e)) d < c). apply div_lt; [exact Z0|].
    apply Rlt_le_trans with (c * ((1 - e) * exp (s * (1 - e)))); [|apply Rmult_le_compat_l; lra].
    assert (X : exp (d i) <= exp b * exp (2 * s * e) * exp (s * (1 - e))).
    { rewrite <- !exp_plus. apply exp_le. lra. }
    apply Rle_lt_trans with (1 := X). rewrite <- Rmult_assoc.
    apply Rmult_lt_compat_r; [apply exp_pos|].
    assert (0 < e * (2 * s)) by (apply Rmult_lt_0_compat; lra).
    assert (U : exp (2 * s * e) <= 1 / (1 - 2 * s * e)).
    { apply exp_le_frac. pose proof (Rdiv_lt_0_compat (exp b) c P). lra. }
    apply Rle_lt_trans with (exp b * (1 / (1 - 2 * s * e))); [apply Rmult_le_compat_l; lra|].
    pose proof (Rdiv_lt_0_compat (exp b) c P) as R0.
    assert (V : 0 < 1 - 2 * s * e) by lra.
    replace (exp b * (1 / (1 - 2 * s * e))) with (exp b / (1 - 2 * s * e)) by (field; lra).
    apply div_lt; [assumption|]. replace (c * (1 - e) * (1 - 2 * s * e)) with (c * ((1 - e) * (1 - 2 * s * e))) by ring.
    replace (exp b) with (c * (exp b / c)) by (field; lra). apply Rmult_lt_compat_l; [lra|].
    assert (0 < e * (2 * s * e)) by (apply Rmult_lt_0_compat; lra). lra. }
  split; intro H; [apply (F (- s) 1%nat H) | apply (F (- (2 * s)) 2%nat H)]; intros m Hm.
  - rewrite negative_other by discriminate. unfold split_rest.
    assert (0 < s * (1 - m)) by (apply Rmult_lt_0_compat; lra). lra.
  - rewrite negative_label. unfold split_rest.
    assert (0 < s * (1 - m)) by (apply Rmult_lt_0_compat; lra). lra.
Qed.

(** ** N4 and N7: along the step size *)

Section Path.
  Variables (n : nat) (p : nat -> R) (y : nat).
  Hypothesis Hp : distribution n p.
  Hypothesis Hy : (y < n)%nat.

  (** τ does not decrease: Z(l·s) ≤ Z(s)^l. *)
  Lemma threshold_nondecreasing : forall s s', 0 < s -> s <= s' ->
    threshold n p y s <= threshold n p y s'.
  Proof.
    intros s s' Hs L. set (l := s / s').
    assert (El : l * s' = s) by (unfold l; field; lra).
    assert (Hl : 0 <= l <= 1) by (split; [apply le_div; lra | apply div_le; lra]).
    pose proof (ln_partition_scaled n p (negative p y s') l Hp Hl) as S.
    rewrite (partition_ext n p (fun j => l * negative p y s' j) (negative p y s)) in S
      by (intros; unfold negative; rewrite <- El; ring).
    unfold threshold. apply div_le; [lra|].
    replace (ln (partition n p (negative p y s')) / s' * s)
      with (l * ln (partition n p (negative p y s'))) by (rewrite <- El; field; lra). assumption.
  Qed.

  (** So the set of risers shrinks as the step grows. *)
  Lemma risers_shrink : forall s s' i, 0 < s -> s <= s' -> i <> y ->
    1 < negative_growth n p y s' i -> 1 < negative_growth n p y s i.
  Proof.
    intros s s' i Hs L N H. apply (riser_iff_above_threshold n p y s' Hp) in H; [|lra|assumption].
    apply (riser_iff_above_threshold n p y s Hp); [assumption..|].
    pose proof (threshold_nondecreasing s s' Hs L). lra.
  Qed.

  (** log α_i is concave in s. *)
  Lemma log_growth_concave : forall s s' l i, 0 <= l <= 1 ->
    l * ln (negative_growth n p y s i) + (1 - l) * ln (negative_growth n p y s' i)
    <= ln (negative_growth n p y (l * s + (1 - l) * s') i).
  Proof.
    intros s s' l i Hl. unfold negative_growth. rewrite !(ln_growth n p Hp).
    pose proof (ln_partition_convex n p (negative p y s) (negative p y s') l Hp Hl) as C.
    assert (E : forall j, l * negative p y s j + (1 - l) * negative p y s' j
                          = negative p y (l * s + (1 - l) * s') j) by (intro; unfold negative; ring).
    rewrite (partition_ext n p _ _ (fun j _ => E j)) in C. rewrite <- (E i). lra.
  Qed.

  (** α_{y*} increases and α_y decreases with the step. *)
  Lemma runner_up_growth_increasing : forall t s s', runner_up n p y t -> s < s' ->
    negative_growth n p y s t < negative_growth n p y s' t.
  Proof.
    intros t s s' [Ht [D B]] L. apply growth_lt_by_inverse; [assumption..|]. rewrite !inverse_growth by assumption.
    pose proof (dist_pos n p Hp t Ht). pose proof (dist_lt_1 n p Hp y t Hy Ht (fun E => D (eq_sym E))).
    apply (mean_lt n p Hp _ _ y Hy).
    - intros i Hi. apply exp_le. destruct (Nat.eq_dec i y) as [E|N].
      + subst. rewrite !negative_label, !negative_other by assumption. nra.
      + rewrite !negative_other by assumption. specialize (B i Hi N). nra.
    - apply exp_increasing. rewrite !negative_label, !negative_other by assumption. nra.
  Qed.

  Lemma label_growth_decreasing : forall s s' k, (k < n)%nat -> k <> y -> s < s' ->
    negative_growth n p y s' y < negative_growth n p y s y.
  Proof.
    intros s s' k Hk N L. apply growth_lt_by_inverse; [assumption..|]. rewrite !inverse_growth by assumption.
    pose proof (dist_le_1 n p Hp y Hy).
    apply (mean_lt n p Hp _ _ k Hk).
    - intros i Hi. apply exp_le. destruct (Nat.eq_dec i y) as [E|M]; [subst; lra|].
      rewrite !negative_label, !negative_other by assumption. pose proof (dist_pos n p Hp i Hi). nra.
    - apply exp_increasing. rewrite !negative_label, !negative_other by assumption.
      pose proof (dist_pos n p Hp k Hk). nra.
  Qed.
End Path.

(** ** N9: which label is penalised *)

Lemma partition_by_label : forall n p y s, (y < n)%nat ->
  partition n p (negative p y s)
  = mean n p (fun j => exp (s * p j)) - (1 - exp (- s)) * (p y * exp (s * p y)).
Proof.
  intros n p y s Hy.
  rewrite <- (mean_ind_mult n p y (fun j => exp (s * p j)) Hy), <- mean_scal, <- mean_minus.
  apply mean_ext. intros j _. destruct (ind_cases j y) as [[E I]|[N I]]; rewrite I.
  - subst. rewrite negative_label. replace (s * (p y - 1)) with (s * p y + - s) by ring.
    rewrite exp_plus. ring.
  - rewrite negative_other by assumption. ring.
Qed.

Lemma third_labels_gain_more : forall n p a b s k, distribution n p ->
  (a < n)%nat -> (b < n)%nat -> (k < n)%nat -> k <> a -> k <> b -> 0 < s -> p a < p b ->
  negative_growth n p a s k < negative_growth n p b s k.
Proof.
  intros n p a b s k Hp Ha Hb Hk Na Nb Hs L.
  unfold negative_growth, growth. rewrite !negative_other by assumption.
  pose proof (partition_pos n p Hp (negative p b s)) as P.
  assert (Q : partition n p (negative p b s) < partition n p (negative p a s)).
  { rewrite !partition_by_label by assumption.
    assert (E : 0 < 1 - exp (- s)) by (pose proof (exp_neg_lt_1 (- s)); lra).
    pose proof (dist_pos n p Hp a Ha). assert (s * p a < s * p b) by (now apply Rmult_lt_compat_l).
    assert (p a * exp (s * p a) < p b * exp (s * p b)).
    { apply Rmult_gt_0_lt_compat; try apply exp_pos; try lra. now apply exp_increasing. }
    pose proof (Rmult_lt_compat_l _ _ _ E H1). lra. }
  unfold Rdiv. apply Rmult_lt_compat_l; [apply exp_pos|]. apply Rinv_lt_contravar; [|assumption].
  apply Rmult_lt_0_compat; lra.
Qed.

(** ** N12: the uniform distribution *)

Definition uniform (n : nat) (i : nat) : R := 1 / INR n.

Lemma uniform_distribution : forall n, (0 < n)%nat -> distribution n (uniform n).
Proof.
  intros n H. assert (0 < INR n) by (now apply lt_0_INR). split.
  - intros. apply Rdiv_lt_0_compat; lra.
  - unfold uniform. rewrite sum_const. field. lra.
Qed.

Lemma uniform_growth : forall n y s i, (y < n)%nat -> i <> y ->
  negative_growth n (uniform n) y s i = INR n / (INR n - 1 + exp (- s)).
Proof.
  intros n y s i Hy N. assert (P : 0 < INR n) by (apply lt_0_INR; lia).
  assert (G : 1 <= INR n) by (change 1 with (INR 1); apply le_INR; lia).
  assert (Hp : distribution n (uniform n)) by (apply uniform_distribution; lia).
  unfold negative_growth, growth.
  rewrite partition_by_label, negative_other by assumption.
  rewrite (mean_ext n (uniform n) _ (fun _ => exp (s * (1 / INR n)))) by reflexivity.
  rewrite (mean_const n _ Hp). unfold uniform.
  pose proof (exp_pos (s * (1 / INR n))). pose proof (exp_pos (- s)).
  replace (exp (s * (1 / INR n)) - (1 - exp (- s)) * (1 / INR n * exp (s * (1 / INR n))))
    with (exp (s * (1 / INR n)) * (INR n - 1 + exp (- s)) / INR n) by (field; lra).
  field. repeat split; lra.
Qed.
