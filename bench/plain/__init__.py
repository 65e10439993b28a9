"""What the connector is compared with: a receiver and a job as the manuals of Flask and RQ say."""
