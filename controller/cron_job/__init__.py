"""The CronJob kind: which of its times has come, the job that is started for it, which old jobs go.

A job of a CronJob is named after its time, so that it is made once, whoever is killed when. How jobs run is for
`controller.job`.
"""
