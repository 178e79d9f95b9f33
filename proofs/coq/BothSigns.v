(** Pressure of both signs: y⁺ = a is pushed up and y⁻ = b down (paper: §3.2, eq. 7, and App. E).

    In one context with equal weights the π-terms cancel: every third label is multiplied by one
    common factor, and nothing is squeezed. In two contexts whose features overlap by ρ, the logits of
    y⁻'s context move by s·(ρ(e_a − π⁺) − (e_b − π⁻)): a residual s·(π⁻ − ρπ⁺) squeezes what is left. *)

From Coq Require Import Reals Lra Lia.
From Ldyn Require Import Sums Calculus Softmax Adaptation Remainder NegativeStep.
Open Scope R_scope.

(** One context, weights w₊ on a and w₋ on b. *)
Definition both_signs (p : nat -> R) (a b : nat) (wp wm s : R) (i : nat) : R :=
  s * (wp * (ind i a - p i) - wm * (ind i b - p i)).

(** The change in the context of y⁺: π⁺ and π⁻ are the two contexts' distributions. *)
Definition overlapping_chosen (pp pm : nat -> R) (a b : nat) (rho s : R) (i : nat) : R :=
  s * (ind i a - pp i - rho * (ind i b - pm i)).

(** The change in the context of y⁻. *)
Definition overlapping (pp pm : nat -> R) (a b : nat) (rho s : R) (i : nat) : R :=
  s * (rho * (ind i a - pp i) - (ind i b - pm i)).

(** Equal weights: the π-terms cancel. *)
Lemma equal_weights_cancel : forall p a b w s i,
  both_signs p a b w w s i = s * w * (ind i a - ind i b).
Proof. intros. unfold both_signs. ring. Qed.

(** On the logits: α is the ratio of the softmaxes of the moved logits and z. *)
Lemma pair_of_logits : forall n z a b wp wm s i, (0 < n)%nat ->
  softmax n (fun j => z j + both_signs (softmax n z) a b wp wm s j) i
  = softmax n z i * growth n (softmax n z) (both_signs (softmax n z) a b wp wm s) i.
Proof. intros. now apply softmax_moved. Qed.

(** Any weights: log-odds among third labels move by the difference of the weights. *)
Lemma pair_odds : forall n p a b wp wm s i j, distribution n p -> (i < n)%nat -> (j < n)%nat ->
  i <> a -> i <> b -> j <> a -> j <> b ->
  ln (after n p (both_signs p a b wp wm s) i / after n p (both_signs p a b wp wm s) j) - ln (p i / p j)
  = - (s * (wp - wm) * (p i - p j)).
Proof.
  intros n p a b wp wm s i j Hp Hi Hj Ia Ib Ja Jb. rewrite (odds_after n p Hp) by assumption.
  unfold both_signs. rewrite !ind_other by assumption. ring.
Qed.

(** What the lighter side takes off the heavier side's pull leaves some of it. *)
Lemma lighter_pull_is_less : forall n p, distribution n p -> forall y i u v, (y < n)%nat -> (i < n)%nat ->
  0 <= v <= u -> 0 < u -> (u - v) * (p y - p i) < u.
Proof.
  intros n p Hp y i u v Hy Hi L P. pose proof (dist_le_1 n p Hp y Hy). pose proof (dist_pos n p Hp i Hi).
  destruct (Req_dec u v) as [E|D]; [subst v; lra|].
  apply Rlt_le_trans with ((u - v) * 1); [apply Rmult_lt_compat_l; lra | lra].
Qed.

Section Weights.
  Variables (n : nat) (p : nat -> R) (a b : nat) (wp wm s : R).
  Hypothesis Hp : distribution n p.
  Hypothesis Ha : (a < n)%nat.
  Hypothesis Hb : (b < n)%nat.
  Hypothesis Hab : a <> b.
  Hypothesis Hs : 0 < s.

  Let d := both_signs p a b wp wm s.

  (** Where y⁺ is pulled at least as hard as y⁻ it is pushed up most, … *)
  Lemma chosen_highest : 0 <= wm <= wp -> 0 < wp -> forall i, (i < n)%nat -> i <> a -> d i < d a.
  Proof.
    intros L P i Hi N. unfold d, both_signs. rewrite ind_same, (ind_other a b), (ind_other i a) by assumption.
    apply Rmult_lt_compat_l; [assumption|].
    pose proof (lighter_pull_is_less n p Hp a i wp wm Ha Hi L P).
    destruct (ind_cases i b) as [[_ I]|[_ I]]; rewrite I; lra.
  Qed.

  Lemma chosen_rises : 0 <= wm <= wp -> 0 < wp -> 1 < growth n p d a.
  Proof.
    intros L P. apply (largest_rises n p Hp d a b Hb).
    - intros i Hi. destruct (Nat.eq_dec i a) as [E|N]; [subst; lra | apply Rlt_le; now apply chosen_highest].
    - apply chosen_highest; auto.
  Qed.

  Lemma chosen_rises_most : 0 <= wm <= wp -> 0 < wp -> forall i, (i < n)%nat -> i <> a ->
    growth n p d i < growth n p d a.
  Proof. intros. apply (growth_lt n p Hp d). now apply chosen_highest. Qed.

  (** … and where y⁻ is, it is pushed down most. *)
  Lemma rejected_lowest_by_weight : 0 <= wp <= wm -> 0 < wm -> forall i, (i < n)%nat -> i <> b -> d b < d i.
  Proof.
    intros L P i Hi N. unfold d, both_signs. rewrite ind_same, (ind_other b a), (ind_other i b) by auto.
    apply Rmult_lt_compat_l; [assumption|].
    pose proof (lighter_pull_is_less n p Hp b i wm wp Hb Hi L P).
    destruct (ind_cases i a) as [[_ I]|[_ I]]; rewrite I; lra.
  Qed.

  Lemma rejected_falls : 0 <= wp <= wm -> 0 < wm -> growth n p d b < 1.
  Proof.
    intros L P. apply (smallest_falls n p Hp d b a Ha).
    - intros i Hi. destruct (Nat.eq_dec i b) as [E|N]; [subst; lra | apply Rlt_le; now apply rejected_lowest_by_weight].
    - apply rejected_lowest_by_weight; auto.
  Qed.

  Lemma rejected_falls_most : 0 <= wp <= wm -> 0 < wm -> forall i, (i < n)%nat -> i <> b ->
    growth n p d b < growth n p d i.
  Proof. intros. apply (growth_lt n p Hp d). now apply rejected_lowest_by_weight. Qed.
End Weights.

Section OneContext.
  Variables (n : nat) (p : nat -> R) (a b : nat) (w s : R).
  Hypothesis Hp : distribution n p.
  Hypothesis Ha : (a < n)%nat.
  Hypothesis Hb : (b < n)%nat.
  Hypothesis Hab : a <> b.
  Hypothesis Hw : 0 < w.
  Hypothesis Hs : 0 < s.

  Let d := both_signs p a b w w s.
  Let c := s * w.

  Lemma both_at : d a = c /\ d b = - c /\ forall i, i <> a -> i <> b -> d i = 0.
  Proof.
    unfold d, c. rewrite !equal_weights_cancel, !ind_same, (ind_other a b), (ind_other b a) by auto.
    repeat split; [ring | ring |]. intros i Na Nb. rewrite equal_weights_cancel, !ind_other by assumption. ring.
  Qed.

  Lemma both_strength : 0 < c.
  Proof. now apply Rmult_lt_0_compat. Qed.

  Lemma both_partition :
    partition n p d = 1 + p a * (exp c - 1) - p b * (1 - exp (- c)).
  Proof.
    destruct both_at as [A [B C]].
    rewrite <- (mean_ind_mult n p a (fun _ => exp c - 1) Ha),
      <- (mean_ind_mult n p b (fun _ => 1 - exp (- c)) Hb).
    rewrite <- (mean_const n p Hp 1) at 1. rewrite <- (mean_plus n p (fun _ => 1)), <- mean_minus.
    apply mean_ext. intros i _.
    destruct (ind_cases i a) as [[E I]|[N I]]; rewrite I.
    - subst i. rewrite ind_other, A by assumption. ring.
    - destruct (ind_cases i b) as [[E I']|[M I']]; rewrite I'.
      + subst i. rewrite B. ring.
      + rewrite (C i N M), exp_0. ring.
  Qed.

  (** Every third label is multiplied by the same factor 1/Z′. *)
  Lemma third_labels_share_a_factor : forall i, i <> a -> i <> b ->
    growth n p d i = 1 / (1 + p a * (exp (s * w) - 1) - p b * (1 - exp (- (s * w)))).
  Proof.
    intros i Na Nb. destruct both_at as [_ [_ C]]. unfold growth.
    rewrite both_partition, (C i Na Nb), exp_0. reflexivity.
  Qed.

  (** It is below 1 exactly if π_a·e^{sw} > π_b. *)
  Lemma third_labels_fall_iff : forall i, i <> a -> i <> b ->
    (growth n p d i < 1 <-> p b < p a * exp (s * w)).
  Proof.
    intros i Na Nb. rewrite (growth_lt_1 n p Hp). destruct both_at as [_ [_ C]]. rewrite (C i Na Nb).
    pose proof (partition_pos n p Hp d) as Z. rewrite both_partition in Z |- *. fold c.
    pose proof (exp_inv_pair c) as E. pose proof both_strength as P. pose proof (exp_pos_gt_1 c P) as G.
    pose proof (exp_pos (- c)) as Q.
    assert (F : (p a * (exp c - 1) - p b * (1 - exp (- c))) * exp c = (exp c - 1) * (p a * exp c - p b)).
    { replace ((p a * (exp c - 1) - p b * (1 - exp (- c))) * exp c)
        with (p a * (exp c - 1) * exp c - p b * (exp c - exp c * exp (- c))) by ring. rewrite E. ring. }
    split; intro H.
    - assert (L : 1 < 1 + p a * (exp c - 1) - p b * (1 - exp (- c))).
      { apply ln_lt_inv; [lra | assumption | now rewrite ln_1]. }
      apply (Rmult_lt_reg_l (exp c - 1)); [lra|].
      assert (0 < (p a * (exp c - 1) - p b * (1 - exp (- c))) * exp c) by (apply Rmult_lt_0_compat; lra). lra.
    - rewrite <- ln_1 at 1. apply ln_increasing; [lra|].
      assert (0 < (exp c - 1) * (p a * exp c - p b)) by (apply Rmult_lt_0_compat; lra).
      assert (0 < p a * (exp c - 1) - p b * (1 - exp (- c))); [|lra].
      apply (Rmult_lt_reg_r (exp c)); lra.
  Qed.
End OneContext.

(** ** Two contexts *)

(** ρ = 0: the negative step alone. *)
Lemma no_overlap : forall pp pm a b s i, overlapping pp pm a b 0 s i = negative pm b s i.
Proof. intros. unfold overlapping, negative. ring. Qed.

Lemma no_overlap_chosen : forall pp pm a b s i, overlapping_chosen pp pm a b 0 s i = positive pp a s i.
Proof. intros. unfold overlapping_chosen, positive. ring. Qed.

(** ρ = 1 and equal distributions: the cancellation of one context. *)
Lemma full_overlap : forall p a b s i, overlapping p p a b 1 s i = both_signs p a b 1 1 s i.
Proof. intros. unfold overlapping, both_signs. ring. Qed.

Lemma full_overlap_chosen : forall p a b s i, overlapping_chosen p p a b 1 s i = both_signs p a b 1 1 s i.
Proof. intros. unfold overlapping_chosen, both_signs. ring. Qed.

(** In between, the residual between third labels is s·(π⁻ − ρπ⁺). *)
Lemma overlap_residual : forall pp pm a b rho s i, i <> a -> i <> b ->
  overlapping pp pm a b rho s i = s * (pm i - rho * pp i).
Proof. intros pp pm a b rho s i Na Nb. unfold overlapping. rewrite !ind_other by assumption. ring. Qed.

Lemma overlap_odds : forall n pp pm a b rho s i j, distribution n pm ->
  (i < n)%nat -> (j < n)%nat -> i <> a -> i <> b -> j <> a -> j <> b ->
  ln (after n pm (overlapping pp pm a b rho s) i / after n pm (overlapping pp pm a b rho s) j) - ln (pm i / pm j)
  = s * ((pm i - rho * pp i) - (pm j - rho * pp j)).
Proof.
  intros n pp pm a b rho s i j Hm Hi Hj Ia Ib Ja Jb.
  rewrite (odds_after n pm Hm), !overlap_residual by assumption. ring.
Qed.

(** With equal distributions the squeeze of third labels fades linearly in ρ. *)
Lemma overlap_fades : forall n p a b rho s i j, distribution n p ->
  (i < n)%nat -> (j < n)%nat -> i <> a -> i <> b -> j <> a -> j <> b ->
  ln (after n p (overlapping p p a b rho s) i / after n p (overlapping p p a b rho s) j) - ln (p i / p j)
  = (1 - rho) * (s * (p i - p j)).
Proof. intros. rewrite overlap_odds by assumption. ring. Qed.

Section TwoContexts.
  Variables (n : nat) (pp pm : nat -> R) (a b : nat) (rho s : R).
  Hypothesis Hpp : distribution n pp.
  Hypothesis Hpm : distribution n pm.
  Hypothesis Ha : (a < n)%nat.
  Hypothesis Hb : (b < n)%nat.
  Hypothesis Hab : a <> b.
  Hypothesis Hrho : 0 <= rho <= 1.
  Hypothesis Hs : 0 < s.

  Let d := overlapping pp pm a b rho s.

  Lemma rejected_lowest :
    (forall i, (i < n)%nat -> i <> b -> rho * (pp i - pp b) < 1 - pm b + pm i) ->
    forall i, (i < n)%nat -> i <> b -> d b < d i.
  Proof.
    intros H i Hi N. specialize (H i Hi N). unfold d, overlapping.
    rewrite ind_same, (ind_other b a), (ind_other i b) by auto.
    apply Rmult_lt_compat_l; [assumption|].
    destruct (ind_cases i a) as [[_ I]|[_ I]]; rewrite I; lra.
  Qed.

  (** y⁻ falls, and most, if the overlap is at most 1 − π⁻_b … *)
  Lemma rejected_falls_at_small_overlap : rho <= 1 - pm b ->
    growth n pm d b < 1 /\ forall i, (i < n)%nat -> i <> b -> growth n pm d b < growth n pm d i.
  Proof.
    intro H. assert (L : forall i, (i < n)%nat -> i <> b -> d b < d i).
    { apply rejected_lowest. intros i Hi N.
      pose proof (dist_le_1 n pp Hpp i Hi). pose proof (dist_pos n pp Hpp b Hb).
      pose proof (dist_pos n pm Hpm i Hi).
      apply Rle_lt_trans with rho; [|lra]. rewrite <- (Rmult_1_r rho) at 2. apply Rmult_le_compat_l; lra. }
    split.
    - apply (smallest_falls n pm Hpm d b a Ha); [|auto].
      intros i Hi. destruct (Nat.eq_dec i b) as [E|N]; [subst; lra | apply Rlt_le; auto].
    - intros i Hi N. apply (growth_lt n pm Hpm d). auto.
  Qed.

  (** … and at any overlap if both contexts have the same distribution. *)
  Lemma rejected_falls_in_equal_contexts : (forall i, (i < n)%nat -> pp i = pm i) ->
    growth n pm d b < 1 /\ forall i, (i < n)%nat -> i <> b -> growth n pm d b < growth n pm d i.
  Proof.
    intro H. assert (L : forall i, (i < n)%nat -> i <> b -> d b < d i).
    { apply rejected_lowest. intros i Hi N. rewrite (H i Hi), (H b Hb).
      pose proof (dist_pos n pm Hpm i Hi). pose proof (dist_pos n pm Hpm b Hb).
      pose proof (dist_two n pm Hpm i b Hi Hb N).
      destruct (Rle_or_lt (pm i) (pm b)) as [G|G].
      - apply Rle_lt_trans with (rho * 0); [apply Rmult_le_compat_l|]; lra.
      - apply Rle_lt_trans with (1 * (pm i - pm b)); [apply Rmult_le_compat_r|]; lra. }
    split.
    - apply (smallest_falls n pm Hpm d b a Ha); [|auto].
      intros i Hi. destruct (Nat.eq_dec i b) as [E|N]; [subst; lra | apply Rlt_le; auto].
    - intros i Hi N. apply (growth_lt n pm Hpm d). auto.
  Qed.

  (** From an overlap of 1/2 on, y⁺ rises most there too. *)
  Lemma chosen_rises_at_half_overlap : (forall i, (i < n)%nat -> pp i = pm i) -> 1 / 2 <= rho ->
    1 < growth n pm d a /\ forall i, (i < n)%nat -> growth n pm d i <= growth n pm d a.
  Proof.
    intros H R. assert (L : forall i, (i < n)%nat -> d i <= d a).
    { intros i Hi. destruct (Nat.eq_dec i a) as [E|N]; [subst; lra|]. unfold d, overlapping.
      rewrite ind_same, (ind_other i a), (ind_other a b), (H i Hi), (H a Ha) by assumption.
      apply Rmult_le_compat_l; [lra|].
      pose proof (dist_two n pm Hpm i a Hi Ha N). pose proof (dist_pos n pm Hpm i Hi).
      pose proof (dist_pos n pm Hpm a Ha).
      assert (1 / 2 * (1 - pm a + pm i) <= rho * (1 - pm a + pm i)) by (apply Rmult_le_compat_r; lra).
      destruct (ind_cases i b) as [[_ I]|[_ I]]; rewrite I; lra. }
    split; [|intros; apply (growth_le n pm Hpm d); auto].
    apply (largest_rises n pm Hpm d a b Hb); [exact L|].
    apply rejected_lowest; [|assumption|assumption].
    intros i Hi N. rewrite (H i Hi), (H b Hb).
    pose proof (dist_pos n pm Hpm i Hi). pose proof (dist_pos n pm Hpm b Hb).
    pose proof (dist_two n pm Hpm i b Hi Hb N).
    destruct (Rle_or_lt (pm i) (pm b)) as [G|G].
    - apply Rle_lt_trans with (rho * 0); [apply Rmult_le_compat_l|]; lra.
    - apply Rle_lt_trans with (1 * (pm i - pm b)); [apply Rmult_le_compat_r|]; lra.
  Qed.
End TwoContexts.
